#!/usr/bin/perl
# SIGHUP ends both programs gracefully; SIGUSR1 tells the server's counters at every log level,
# and costs nothing. (SIGTERM and SIGINT: stop.t; what the parent left behind: inherited.t.)
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

# ---- SIGHUP: the server --------------------------------------------------------------------
group 'SIGHUP, an idle server' => sub {
    my $server = start_server();
    my $t      = time;
    kill 'HUP', $server->{pid};
    is(exit_of($server), 0, 'exit 0');
    cmp_ok(time - $t, '<', 3, 'it ends at once, not after drain_timeout');
    like(log_of($server), qr/INFO  SIGHUP: stopping, 0 connections have 4s to end\n.*listener on \S+ closed\n.*stopped: /,
        'signal, listener and end are logged');
};

# A terminal that closes sends it more than once, and managers of services may send it behind
# SIGTERM: that is no order to hurry.
for my $first ('HUP', 'TERM') {
    group "SIG$first, then SIGHUP three times" => sub {
        my $server = start_server('drain-timeout' => '10s');
        my $open   = connect_to($server->{port});
        is(echo_of($open, 'x'), 'x', 'a connection is served before');
        kill $first, $server->{pid};
        ok(wait_for_log($server, qr/SIG$first: stopping, 1 connection has 10s to end/), 'the first one begins the drain');
        for (1 .. 3) { kill 'HUP', $server->{pid}; sleep 0.02 }
        ok(wait_for_log($server, qr/INFO  SIGHUP again: stopping already/), 'a further one is logged');
        is(receive_until_eof($open), '', 'the peer is sent the end of stream, and is not cut');
        is(exit_of($server, 0), undef, 'the server waits for the end of the peer');
        close $open;
        is(exit_of($server, 3), 0, 'exit 0');
        unlike(log_of($server), qr/WARN/, 'nothing was cut');
    };
}
group 'SIGHUP, then SIGTERM' => sub {
    my $server = start_server('drain-timeout' => '10s');
    my $open   = connect_to($server->{port});
    is(echo_of($open, 'x'), 'x', 'a connection is served before');
    kill 'HUP', $server->{pid};
    ok(wait_for_log($server, qr/SIGHUP: stopping/), 'SIGHUP begins the drain');
    kill 'TERM', $server->{pid};
    is(exit_of($server, 3), 1, 'SIGTERM cuts at once: exit 1');
    like(log_of($server), qr/SIGTERM again: cutting 1 connection$/m, 'the cut is logged');
};

# As process 1 only signals that are handled arrive.
SKIP: {
    my @own = ('unshare', ($> == 0 ? () : '-r'), '-p', '-f');
    skip 'no PID namespaces here', 2 if system("@own true 2>/dev/null") != 0;
    group 'SIGHUP, the server is process 1' => sub {
        my $outer = start_server(_wrap => \@own);
        my ($pid) = slurp("/proc/$outer->{pid}/task/$outer->{pid}/children") =~ /(\d+)/;
        kill 'HUP', $pid;
        is(exit_of($outer, 3), 0, 'exit 0');
        like(log_of($outer), qr/SIGHUP: stopping/, 'the signal is logged');
    };
}

group 'the terminal closes under a server in its foreground' => sub {
    my $port     = free_port();
    my $terminal = start_program(['script', '-qc', "exec $Echolab::build/echo-server --address 127.0.0.1 --port $port", '/dev/null']);
    my $s;
    ok(wait_for(sub { $s = connect_to($port) }), 'it listens');
    is(echo_of($s, 'x'), 'x', 'it serves');
    kill 'KILL', $terminal->{pid};
    exit_of($terminal);
    is(receive_until_eof($s, 3), '', 'the peer is sent the end of stream');
    close $s;
    ok(wait_for(sub { !connect_to($port) }), 'the server ends');
};

# ---- SIGHUP: the client --------------------------------------------------------------------
my $server = start_server();
my $to     = "127.0.0.1:$server->{port}";
group 'SIGHUP, the client in its loop' => sub {
    my $loop = start_program(["$Echolab::build/echo-client", '--server-address', $to, '--loop-lapse', '0s']);
    ok(wait_for_log($loop, qr/Message from server/), 'it talks before');
    kill 'HUP', $loop->{pid};
    is(exit_of($loop, 3), 0, 'exit 0');
    like(log_of($loop), qr/SIGHUP: stopping\n.*1 sent, 1 echoed, 0 lost/, 'signal and summary are logged');
};
for my $signal ('HUP', 'TERM', 'INT') {
    group "SIG$signal, a load" => sub {
        my $load = start_program(["$Echolab::build/echo-client", '--load', $to, '--duration', '0s', '--json', '--threads', 2]);
        ok(wait_for(sub { log_of($server) =~ /connection \d+ from (?!.*connection \d+ closed)/s }), 'it connects');
        sleep 0.2;
        kill $signal, $load->{pid};
        is(exit_of($load, 3), 0, 'exit 0');
        my $r = eval { decode_json(log_of($load)) } // {};
        cmp_ok($r->{messages_echoed} // 0, '>', 10, 'the report so far is printed');
        is($r->{messages_lost}, 0, 'no message is lost');
        like(slurp($load->{err}), qr/\A[-\d]+ [:.\d]+Z INFO  SIG$signal: stopping\n\z/, 'the signal is told on stderr');
    };
}
is(stop_program($server), 0, 'the server of the clients: exit 0');

# ---- SIGUSR1 -------------------------------------------------------------------------------
for my $level (qw(debug info warn error)) {
    for my $format ('text', 'json') {
        group "SIGUSR1 at level $level, $format" => sub {
            my $port   = free_port();    # quiet levels do not tell it
            my $server = start_program(["$Echolab::build/echo-server", '--address', '127.0.0.1', '--port', $port,
                '--log-level', $level, '--log-format', $format, '--workers', 2]);
            ok(wait_for(sub { connect_to($port) }), 'the server listens');
            kill 'USR1', $server->{pid};
            ok(wait_for_log($server, qr/worker 1: counters: /) && wait_for_log($server, qr/worker 2: counters: /),
                'the counters of each worker are told');
            my @lines = grep {/counters:/} split /\n/, log_of($server);
            cmp_ok(scalar @lines, '>', 20, 'with them the numbers of the server, a line for each');
            my $as_info = $format eq 'json' ? qr/^\{"time":"\S+","level":"info","event":"(?:worker_)?counters",.*"message":"(?:worker \d: )?counters: .*"\}$/
                : qr/^[-\d]+ [:.\d]+Z INFO  (?:worker \d: )?counters: /;
            is(scalar(grep { $_ !~ $as_info } @lines), 0, 'they are of level info') or diag @lines;
            is(stop_program($server, 3), 0, 'exit 0');
        };
    }
}

group 'one of each' => sub {
    my $server = start_server();
    my $one    = connect_to($server->{port});
    is(echo_of($one, 'x'), 'x', 'one byte');
    kill 'USR1', $server->{pid};
    ok(wait_for_log($server, qr/counters: 1 connection now, 1 taken, 1 B in, 1 B echoed, /), 'the singular')
        or diag log_of($server);
    stop_program($server);
};

# The descriptors that it tells are those that are open.
sub told_fds {
    my ($of) = @_;
    my $told   = qr/counters: process_open_fds (\d+)\n/;
    my $before = () = log_of($of) =~ /$told/g;
    kill 'USR1', $of->{pid};
    wait_for(sub { (() = log_of($of) =~ /$told/g) > $before });
    return (log_of($of) =~ /$told/g)[-1];
}

# Those that the parent process left open are not counted, so none is left here.
my @alone = ($^X, '-MPOSIX', '-e', 'POSIX::close($_) for 3 .. 1023; exec @ARGV or die', '--');
my $has_all = $Echolab::build !~ /aarch64/;    # an emulator has descriptors of its own
for my $workers (1, 3) {
    group "the descriptors that SIGUSR1 tells, workers = $workers" => sub {
        my $server = start_server(workers => $workers, _wrap => \@alone);
        my $base   = told_fds($server);
        is($base, open_fds($server->{pid}), 'as many as are open') if $has_all;
        my @open = map { connect_to($server->{port}) } 1 .. 100;
        is(join('', map { echo_of($_, 'x') } @open), 'x' x 100, '100 connections are served');
        is(told_fds($server), $base + 100, '100 connections: 100 more');
        close $_ for splice @open, 0, 60;
        ok(wait_for(sub { told_fds($server) == $base + 40 }), '60 of them are closed: 60 less');
        is(told_fds($server), open_fds($server->{pid}), '60 of them are closed: as many as are open') if $has_all;
        close $_ for @open;
        is(stop_program($server, 3), 0, 'exit 0');
    };
}

# It looks at none of those that may be open: where many may be, it takes no more CPU than where few may be.
{
    my ($hard) = slurp('/proc/self/limits') =~ /^Max open files\s+\S+\s+(\d+)/m;
    my %cpu;
    for my $limit (64, $hard) {
        my $busy  = start_server(_wrap => ['prlimit', "--nofile=$limit:$limit"]);
        my $start = cpu_seconds($busy->{pid});
        told_fds($busy) for 1 .. 300;
        $cpu{$limit} = cpu_seconds($busy->{pid}) - $start;
        is(stop_program($busy), 0, "SIGUSR1 300 times where $limit descriptors may be open: exit 0");
    }
    cmp_ok($cpu{$hard}, '<=', 3 * $cpu{64} + 0.1, "SIGUSR1 300 times where $hard descriptors may be open: not more CPU than where 64 may be");
}

done_testing();
