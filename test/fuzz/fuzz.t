#!/usr/bin/perl
# Each fuzz target for FUZZ_SECONDS (10 by default) from its corpus, and its control, in which
# something is wrong that the fuzzer has to find. What it finds new stays in build/fuzz/corpus.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{FUZZ_SECONDS} // 10;
my @targets = qw(config echo http load_stream pollset preamble);
plan skip_all => 'no clang with libFuzzer here' if !-x 'build/fuzz/echo_fuzz';

sub output_of {
    my (@command) = @_;
    open my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @command or die;
    my $text = join '', <$pipe>;
    close $pipe;
    return ($? == -1 ? -1 : $? >> 8 || $? & 127, $text);
}

sub fuzz {
    my ($program, $name, $for) = @_;
    my $own = "build/fuzz/corpus/$name";
    mkdir 'build/fuzz/corpus';
    mkdir $own;
    my $dictionary = "test/fuzz/$name.dict";
    return output_of($program, "-max_total_time=$for", '-seed=1', '-timeout=5', '-rss_limit_mb=1024', '-max_len=4096',
        '-print_final_stats=1', "-artifact_prefix=build/fuzz/$name-", -e $dictionary ? "-dict=$dictionary" : (),
        $own, "test/fuzz/corpus/$name");
}

for my $name (@targets) {
    for my $kind ('fuzz', -x "build/msan/${name}_fuzz" ? 'msan' : ()) {
        my $program = $kind eq 'msan' ? "build/msan/${name}_fuzz" : "build/fuzz/${name}_fuzz";
        my ($code, $text) = fuzz($program, $name, $seconds);
        my ($runs) = $text =~ /number_of_executed_units: (\d+)/;
        my ($covered) = $text =~ /.*cov: (\d+)/s;
        my $who = $name . ($kind eq 'msan' ? ' (MSan)' : '');
        is($code, 0, sprintf '%s: no fault in %d executions, %d edges covered', $who, $runs // 0, $covered // 0)
            or diag $text =~ s/.*(?=\n(?:==|\S+: broken))//sr, "\nagain: $program build/fuzz/$name-*";
        cmp_ok($runs // 0, '>', 100 * $seconds, "$who: it ran at least 100 times a second");
    }
    my $t = time;
    my ($code, $text) = fuzz("build/fuzz/${name}_control", $name, 60);
    like($text, qr/broken: /, sprintf '%s: the control\'s fault is found in %.1f s', $name, time - $t);
    isnt($code, 0, "$name: the control ends with an error");
    unlink glob "build/fuzz/$name-*" if $text =~ /broken: /;
}
done_testing;
