#!/usr/bin/perl
# The server for a long time (SOAK_SECONDS, 15 by default; `make soak MINUTES=60`): churning,
# steady, and idle connections at once. Its memory and its descriptors must not grow: a line is
# fitted to each, and the confidence interval of its slope must include 0. Resident memory comes
# in pages, so a slope of less than two pages in all is none.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

my $seconds = $ENV{SOAK_SECONDS} // 15;

enter_own_network();

sub sample {
    my ($pid) = @_;
    return (rss_kib($pid), open_fds($pid));
}

# The slope by least squares, and half of the width of its interval. Neighbouring samples are
# alike, so the line is fitted to the means of ten batches, which hardly are; Student's t with
# 8 degrees of freedom for 99.9 %, so that one run in a thousand is a false alarm.
sub slope {
    my ($x, $y) = @_;
    my ($batches, $t) = (10, 5.041);
    my (@x, @y);
    for my $i (0 .. $#$x) {
        my $batch = int($i * $batches / @$x);
        push @{ $x[$batch] }, $x->[$i];
        push @{ $y[$batch] }, $y->[$i];
    }
    my $mean = sub { my $sum = 0; $sum += $_ for @_; return $sum / @_ };
    @x = map { $mean->(@$_) } @x;
    @y = map { $mean->(@$_) } @y;
    my ($mx, $my, $sxx, $sxy, $rest) = ($mean->(@x), $mean->(@y), 0, 0, 0);
    for my $i (0 .. $#x) {
        $sxx += ($x[$i] - $mx)**2;
        $sxy += ($x[$i] - $mx) * ($y[$i] - $my);
    }
    my $slope = $sxy / $sxx;
    $rest += ($y[$_] - $my - $slope * ($x[$_] - $mx))**2 for 0 .. $#x;
    return ($slope, $t * sqrt($rest / (@x - 2) / $sxx));
}

# Does it not grow, or by less than $least in all, which cannot be told from nothing?
sub is_flat {
    my ($what, $unit, $least, $x, $y) = @_;
    my ($slope, $half) = slope($x, $y);
    my $text = sprintf '%s: %d to %d %s, slope %+.4f +- %.4f %s/s', $what,
        (sort { $a <=> $b } @$y)[0, -1], $unit, $slope, $half, $unit;
    return ok($slope <= $half || $slope * ($x->[-1] - $x->[0]) < $least, $text);
}

{   # The fit must be able to fail.
    my @x = 1 .. 100;
    my ($slope, $half) = slope(\@x, [map { 1000 + 0.5 * $_ + ($_ % 7) } @x]);
    ok($slope > $half, 'a leak of 0.5 KiB/s under noise is seen');
    ($slope, $half) = slope(\@x, [map { 1000 + ($_ * 7919 % 13) } @x]);
    ok(abs $slope <= $half, 'noise alone is not taken for a leak');
}

# However long it lasts, the idle connections stay.
my $server = start_server('log-level' => 'warn', 'idle-timeout' => '0s', port => 47111, _stdout => temp_dir() . '/log', _wrap => ['prlimit', '--nofile=20000:20000']);
my $first = wait_for(sub { connect_to(47111) });
ok($first, 'the server listens');
is(echo_of($first, 'x'), 'x', 'the server answers');
my @common = ("$Echolab::build/echo-client", '--load', '127.0.0.1:47111', '--json', '--duration', $seconds . 's');
my $before = open_fds($server->{pid});
my %loads = (
    'a load on 50 steady connections' => start_program([@common, '--connections', 50, '--rate', 2000]),
    'a load with a connection per message' =>
        start_program([@common, '--connections', 20, '--reconnect', '--source', '127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5']),
    'a load of large messages' => start_program([@common, '--connections', 2, '--size', '1MiB', '--rate', 20]),
);
my @idle = map { connect_to(47111) } 1 .. 500;
my (@time, @rss, @fds);
my $start = time;
while (time - $start < $seconds - 1) {
    sleep($seconds > 300 ? 1 : 0.1);
    next if time - $start < $seconds * 0.2;    # tables grow to their size
    my ($rss, $fds) = sample($server->{pid});
    push @time, time - $start;
    push @rss, $rss;
    push @fds, $fds;
}
is_flat('resident memory', 'KiB', 8.1, \@time, \@rss);
is_flat('descriptors', 'open', 0, \@time, \@fds);
my ($connects, $messages) = (0, 0);
for my $name (sort keys %loads) {
    my $code = exit_of($loads{$name}, 30);
    my $r = eval { decode_json(log_of($loads{$name})) } // {};
    is(join(' ', $code // 'none', $r->{messages_lost} // 'none'), '0 0', "$name: it ends with 0 and loses nothing");
    $connects += $r->{connects} // 0;
    $messages += $r->{messages_echoed} // 0;
}
my $right = grep { echo_of($_, 'still') eq 'still' } @idle;
is($right, 500, 'the idle ones are still served');
ok(wait_for(sub { open_fds($server->{pid}) == $before + 500 }), 'after all of it, descriptors are open for the idle ones only')
    or diag("$before before, " . open_fds($server->{pid}) . ' now');
close $_ for @idle, $first;
is(stop_program($server), 0, 'the server ends with 0');
note("$connects connections, $messages messages in $seconds s");
done_testing;
