#!/usr/bin/perl
# Several threads: the same service, limits that hold for all together, a stop that loses
# nothing. With ECHOLAB_BUILD=build/tsan under ThreadSanitizer, whose reports go to stderr.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

# Many clients in processes of their own, each with many connections; all must be echoed.
sub storm {
    my ($port, $processes, $connections) = @_;
    my @pids;
    for my $n (1 .. $processes) {
        my $pid = fork // die;
        if ($pid == 0) {
            alarm 60;
            for my $i (1 .. $connections) {
                my $s       = connect_to($port) or POSIX::_exit(1);
                my $message = "process $n connection $i " . 'x' x ($i * 37 % 9000);
                POSIX::_exit(2) if echo_of($s, $message) ne $message;
                half_close($s) if $i % 2;
                POSIX::_exit(3) if $i % 2 && receive_until_eof($s) ne '';
                close $s;
            }
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }
    my $bad = 0;
    for (@pids) { waitpid $_, 0; $bad++ if $? }
    return $bad;
}

for my $workers (2, 4) {
    my $server = start_server(workers => $workers);
    is(storm($server->{port}, 4, 100), 0, "$workers workers: 400 connections are echoed exactly");
    kill 'USR1', $server->{pid};
    my $all = sub { scalar(() = log_of($server) =~ /worker \d+: counters: .*\n/g) == $workers };
    ok(wait_for($all), "$workers workers, SIGUSR1: each logs its counters");
    my ($accepted) = log_of($server) =~ / counters: echo_server_connections_accepted_total (\d+)$/m;
    my $taken = 0;
    $taken += $_ for log_of($server) =~ /worker \d+: counters: \d+ connections? now, (\d+) taken/g;
    is($accepted, 400, "$workers workers, SIGUSR1: 400 were accepted");
    is($taken, $accepted, "$workers workers, SIGUSR1: as many were taken by the workers");
    my @used = log_of($server) =~ /worker \d+: counters: \d+ connections? now, [1-9]\d* taken/g;
    is(scalar @used, $workers, "$workers workers, SIGUSR1: each had some");

    my @open = map { connect_to($server->{port}) } 1 .. 40;
    is(join('', map { echo_of($_, 'x') } @open), 'x' x 40, "$workers workers: 40 connections are echoed");
    kill 'TERM', $server->{pid};
    is(join('', map { receive_until_eof($_) } @open), '', "$workers workers, SIGTERM: 40 connections are ended");
    close $_ for @open;
    is(exit_of($server, 5), 0, "$workers workers, SIGTERM: exit 0");
    my $log     = log_of($server);
    my $closed  = () = $log =~ /worker \d+: connection \d+ closed/g;
    is($closed, 440, "$workers workers, SIGTERM: every close is logged, with the number of its worker");
    is(slurp($server->{err}), '', "$workers workers: nothing on stderr");
}

# The limit is one for all.
group 'a limit for all workers' => sub {
    my $server = start_server(workers => 3, 'max-connections' => 5);
    my @in     = map { connect_to($server->{port}) } 1 .. 5;
    is(join('', map { echo_of($_, 'x') } @in), 'x' x 5, 'five connections fill the table');
    my $waiting = connect_to($server->{port});
    send_all($waiting, 'queued');
    is(receive($waiting, 6, 0.3), '', 'the sixth waits');
    my $start = cpu_seconds($server->{pid});
    sleep 0.3;
    cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.05, 'nothing spins while the sixth waits');
    my $took = shortest(0.2, sub {
        my $t = time;
        close splice @in, 3, 1;
        is(receive($waiting, 6), 'queued', 'a slot that becomes free in another thread is used');
        my $took = time - $t;
        push @in, $waiting;
        $waiting = connect_to($server->{port});
        send_all($waiting, 'queued');
        return $took;
    });
    cmp_ok($took, '<', 0.2, 'a slot that becomes free in another thread is used at once');
    close $_ for @in, $waiting;
    is(stop_program($server, 5), 0, 'SIGTERM: exit 0');
    is(slurp($server->{err}), '', 'nothing on stderr');
};

# Stopping under load: what waits in the backlog is served, and nothing hangs.
for my $round (1 .. 5) {
    my $server = start_server(workers => 2, 'drain-timeout' => '2s');
    kill 'STOP', $server->{pid};
    my @queued = queue_connections($server->{port}, 50);
    kill 'TERM', $server->{pid};
    kill 'CONT', $server->{pid};
    is(count_served(@queued), 50, "SIGTERM, 50 connections in the backlog, round $round: the workers serve them");
    is(exit_of($server, 5), 0, "SIGTERM, 50 connections in the backlog, round $round: exit 0");
    is(slurp($server->{err}), '', "SIGTERM, 50 connections in the backlog, round $round: nothing on stderr");
}

# A peer that never reads is cut by its worker, the second signal cuts all.
group 'SIGTERM twice, two workers' => sub {
    my $server = start_server(workers => 2, 'drain-timeout' => '20s');
    my @open   = map { connect_to($server->{port}) } 1 .. 4;
    is(join('', map { echo_of($_, 'x') } @open), 'x' x 4, 'four connections are echoed before');
    kill 'TERM', $server->{pid};
    ok(wait_for_log($server, qr/SIGTERM: stopping/), 'the first one is logged');
    kill 'TERM', $server->{pid};
    is(exit_of($server, 3), 1, 'the second one: exit 1');
    my $cut = () = log_of($server) =~ /worker \d: connection \d cut: second signal/g;
    is($cut, 4, 'the second one: all four connections are cut');
    is(slurp($server->{err}), '', 'nothing on stderr');
};

# More than a tier's worth of idle connections in each worker: all are heard.
group '300 idle connections of two workers' => sub {
    my $server = start_server(workers => 2);
    my @idle   = map { connect_to($server->{port}) } 1 .. 300;
    is(join('', map { echo_of($_, 'x') } @idle), 'x' x 300, 'each is echoed');
    sleep 0.1;
    my @poke = map { connect_to($server->{port}) } 1 .. 2;    # one for each worker
    for (1 .. 10) { echo_of($_, 'tick') for @poke; sleep 0.02 }
    kill 'USR1', $server->{pid};
    ok(wait_for_log($server, qr/worker \d: counters: .* 1\d\d cold, .*\n(?:.*\n)*.*worker \d: counters: .* (?:\d\d|1\d\d) cold/),
        'most of them are cold') or diag log_of($server) =~ s/.*accepted\n//gr;
    is(join('', map { echo_of($_, 'y') } @idle), 'y' x 300, 'each is echoed when it was cold');
    close $_ for @idle, @poke;
    is(stop_program($server, 5), 0, 'SIGTERM: exit 0') or diag substr log_of($server), -2000;
    is(slurp($server->{err}), '', 'nothing on stderr');
};

# A message wakes the worker that has its connection, and no other.
group 'four workers, one connection talks now and then' => sub {
    my $server = start_server(workers => 4);
    my @idle = map { connect_to($server->{port}) } 1 .. 40;
    echo_of($_, 'x') for @idle, @idle;
    sleep 0.2;
    my $switches = sub {
        my @all;
        for my $status (glob "/proc/$server->{pid}/task/*/status") {
            push @all, slurp($status) =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
        }
        return @all;
    };
    my @before = $switches->();
    for (1 .. 100) { echo_of($idle[0], 'y'); sleep 0.02 }
    my @after = $switches->();
    my @woken = sort { $b <=> $a } map { $after[$_] - $before[$_] } 0 .. $#after;
    cmp_ok($woken[0], '>=', 50, '100 messages on one connection wake its worker');
    cmp_ok($woken[1], '<', 50, 'they wake no other thread') or diag "@woken";
    stop_program($server);
};

done_testing();
