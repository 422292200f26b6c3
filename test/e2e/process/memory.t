#!/usr/bin/perl
# Memory stays within the formula of ARCHITECTURE.md:
# base + connections x (49 B + 256 KiB), the second term only for peers that do not read.
# The scratch buffer, 256 KiB, is resident once large messages came.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use Echolab;

plan skip_all => 'memory is measured of the programs as shipped' if $Echolab::build ne 'build';

# Pages that are touched in part: two for each of the tables, the log's buffer.
my $slack_kib = 64;

sub rss_kib { my ($server) = @_; return (slurp("/proc/$server->{pid}/status") =~ /VmRSS:\s+(\d+)/)[0] }

my $server = start_server();
my $base   = rss_kib($server);
cmp_ok($base, '<=', 128, "at the start $base KiB are resident");

my $many = 3000;
my @idle = map { connect_to($server->{port}) } 1 .. $many;
is(join('', map { echo_of($_, 'x') } @idle), 'x' x $many, "$many connections");
my $idle_kib = rss_kib($server) - $base;
cmp_ok($idle_kib, '<=', $many * 49 / 1024 + $slack_kib, "... cost $idle_kib KiB while they are idle");

my $deaf = 40;
for my $s (@idle[0 .. $deaf - 1]) {
    $s->blocking(0);
    my $full = 0;
    for (1 .. 2000) {    # until nothing moves any more
        $full = defined syswrite($s, 'z' x 65536) ? 0 : $full + 1;
        last if $full > 20;
        sleep 0.002 if $full;
    }
}
my $deaf_kib = rss_kib($server) - $base;
cmp_ok($deaf_kib, '>', $deaf * 16, "$deaf peers that never read are kept waiting with something");
cmp_ok($deaf_kib, '<=', $many * 49 / 1024 + $deaf * 256.5 + 256 + 2 * $slack_kib, "... $deaf_kib KiB, one bounded buffer each");
is(echo_of($idle[-1], 'still here'), 'still here', '... and the others are served');
reset_connection($_) for @idle;
ok(wait_for(sub { rss_kib($server) <= $base + $many * 49 / 1024 + 256 + 2 * $slack_kib }), 'their buffers are released');
is(stop_program($server), 0, 'exit 0');

done_testing();
