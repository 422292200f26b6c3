#!/usr/bin/perl
# Thousands of idle connections: they cost no time, and every one of them is heard, one at a
# time and all at once, with bytes, an end or a reset.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

my $many = 2000;

sub counters { my ($server) = @_; return (log_of($server) =~ /counters: \d+ connections? now, \d+ taken.*/g)[-1] }

# Make the server's idle connections turn cold: that takes two epochs with some traffic.
sub cool {
    my ($poke) = @_;
    for (1 .. 6) { echo_of($poke, 'tick'); sleep 0.012 }
}

my $server = start_server('drain-timeout' => '3s');
my $poke = connect_to($server->{port});
my @idle = map { connect_to($server->{port}) } 1 .. $many;
is(join('', map { echo_of($_, 'x') } @idle), 'x' x $many, "$many connections: each is echoed");
cool($poke);
kill 'USR1', $server->{pid};
ok(wait_for(sub { (counters($server) // '') =~ / (\d+) cold/ && $1 >= $many }), 'all idle ones are cold')
    or diag counters($server);

my $start = cpu_seconds($server->{pid});
sleep 1;
cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.01, 'at rest they take no CPU time');

my @took;
for my $i (0 .. 199) {
    my $t = time;
    is(echo_of($idle[$i * 10], "one $i"), "one $i", "a cold one is echoed") if $i == 0;
    echo_of($idle[$i * 10], "one $i") eq "one $i" or fail("cold one $i") if $i;
    push @took, time - $t;
    cool($poke) if $i % 50 == 49;
}
@took = sort { $a <=> $b } @took;
cmp_ok($took[180], '<', 0.1, sprintf '200 of them, one after the other: nine of ten at once (%.1f ms, the worst %.1f ms)', map { 1000 * $_ } @took[180, -1]);
cmp_ok($took[-1], '<', 2, '... and none is forgotten');

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
        is($right, $many, "the kernel's queue of signals overflows, round $round: all are echoed");
    }
    kill 'USR1', $server->{pid};
    sleep 0.1;
    like(counters($server), qr/ overflows: [1-9]\d*/, "the kernel's queue of signals overflows: the counters say that it did");
}

# No signal at all can be queued: every notification is an overflow.
SKIP: {
    system("prlimit --pid=$server->{pid} --sigpending=0:0 2>/dev/null") == 0 or skip 'no prlimit', 2;
    cool($poke);
    my $right = grep { echo_of($idle[$_], "none $_") eq "none $_" } map { 7 * $_ } 0 .. 199;
    is($right, 200, 'no room in that queue: 200 cold ones, one after the other, are echoed');
    send_all($idle[$_], "none $_") for 0 .. $#idle;
    is(scalar(grep { receive($idle[$_], length "none $_") eq "none $_" } 0 .. $#idle), $many, 'no room in that queue: all at once are echoed');
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
is(exit_of($server, 6), 0, 'SIGTERM: exit 0');
is(slurp($server->{err}), '', 'nothing on stderr');

done_testing();
