#!/usr/bin/perl
# Thousands of idle connections: they cost no time, and every one of them is heard, one at a
# time and all at once, with bytes, an end or a reset.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

my $many = 2000;

sub counters { my ($server) = @_; return (log_of($server) =~ /counters: \d+ connections now, \d+ taken.*/g)[-1] }

# Make the server's idle connections turn cold: that takes two epochs with some traffic.
sub cool {
    my ($poke) = @_;
    for (1 .. 6) { echo_of($poke, 'tick'); sleep 0.012 }
}

my $server = start_server('drain-timeout' => '3s');
my $poke = connect_to($server->{port});
my @idle = map { connect_to($server->{port}) } 1 .. $many;
is(join('', map { echo_of($_, 'x') } @idle), 'x' x $many, "$many connections");
cool($poke);
kill 'USR1', $server->{pid};
ok(wait_for(sub { (counters($server) // '') =~ / (\d+) cold/ && $1 == $many }), 'all idle ones are cold')
    or diag counters($server);

my $start = cpu_seconds($server->{pid});
sleep 1;
cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.01, 'at rest they take no CPU time');

my $worst = 0;
for my $i (0 .. 199) {
    my $t = time;
    is(echo_of($idle[$i * 10], "one $i"), "one $i", "a cold one is heard") if $i == 0;
    echo_of($idle[$i * 10], "one $i") eq "one $i" or fail("cold one $i") if $i;
    my $took = time - $t;
    $worst = $took if $took > $worst;
    cool($poke) if $i % 50 == 49;
}
cmp_ok($worst, '<', 0.1, sprintf '200 of them, one after the other, each at once (worst %.1f ms)', 1000 * $worst);

for my $round (1 .. 10) {
    cool($poke);
    send_all($idle[$_], "round $round, $_") for 0 .. $#idle;
    my $right = grep { receive($idle[$_], length "round $round, $_") eq "round $round, $_" } 0 .. $#idle;
    is($right, $many, "round $round: all at once, each is echoed");
}

# The queue of signals is limited (RLIMIT_SIGPENDING): what is lost there is found.
SKIP: {
    system("prlimit --pid=$server->{pid} --sigpending=3:3 2>/dev/null") == 0 or skip 'no prlimit', 3;
    for my $round (1 .. 3) {
        cool($poke);
        kill 'STOP', $server->{pid};
        send_all($idle[$_], "again $round, $_") for 0 .. $#idle;
        kill 'CONT', $server->{pid};
        my $right = grep { receive($idle[$_], length "again $round, $_") eq "again $round, $_" } 0 .. $#idle;
        is($right, $many, "the kernel's queue overflows: all are heard all the same");
    }
    kill 'USR1', $server->{pid};
    sleep 0.1;
    like(counters($server), qr/ [1-9]\d* lost/, '... that was tried');
}

cool($poke);
my @ended = splice @idle, 0, 500;
half_close($_) for @ended[0 .. 249];
is(scalar(grep { receive_until_eof($_) eq '' } @ended[0 .. 249]), 250, '250 cold ones end: each is answered');
reset_connection($_) for @ended[250 .. 499];
close $_ for @ended[0 .. 249];
ok(wait_for(sub { my $n = () = log_of($server) =~ /connection \d+ closed/g; $n == 500 }),
    '250 more are reset: all 500 are closed');
cool($poke);
kill 'TERM', $server->{pid};
is(scalar(grep { receive_until_eof($_) eq '' } @idle), $many - 500, 'SIGTERM: all cold ones are sent the end');
close $_ for @idle, $poke;
is(exit_of($server, 6), 0, '... exit 0');
is(slurp($server->{err}), '', 'nothing on stderr');

done_testing();
