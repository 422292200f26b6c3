#!/usr/bin/perl
# What the parent process left behind: blocked and ignored signals, limits. exec(2) keeps all of
# it, and the programs behave as if they had been started from a clean shell.
use strict;
use warnings;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

# Wrappers that leave something behind and exec the program.
my $block_all = 'POSIX::sigprocmask(POSIX::SIG_BLOCK, do { my $s = POSIX::SigSet->new; $s->fillset; $s });';
sub left { my ($perl) = @_; return [$^X, '-MPOSIX', '-e', "$perl exec \@ARGV or die", '--'] }
my %signals_left = (
    blocked => left($block_all),
    ignored => left('$SIG{$_} = "IGNORE" for qw(TERM INT USR1 IO CHLD PIPE); POSIX::sigaction(POSIX::SIGRTMIN, POSIX::SigAction->new("IGNORE"));'),
);

sub client { my (@arguments) = @_; return ["$Echolab::build/echo-client", @arguments] }
sub report { my ($program) = @_; return eval { decode_json(log_of($program)) } // {} }

# Make idle connections turn cold (as in idle.t).
sub cool { my ($poke) = @_; for (1 .. 6) { echo_of($poke, 'tick'); sleep 0.012 } }

# 300 connections that are idle are heard when they speak again, by signals.
sub idle_ones_are_heard {
    my ($server, $workers) = @_;
    my @poke = map { connect_to($server->{port}) } 1 .. $workers;
    my @idle = map { connect_to($server->{port}) } 1 .. 300;
    is(join('', map { echo_of($_, 'x') } @idle), 'x' x 300, '300 connections are served');
    for my $round (1 .. 3) {
        cool($_) for @poke;
        is(join('', map { echo_of($_, 'y') } @idle), 'y' x 300, "round $round: each idle one is heard");
    }
    close $_ for @idle, @poke;
}

# ---- signals that the server handles -------------------------------------------------------
for my $what (sort keys %signals_left) {
    for my $signal ('TERM', 'INT') {
        group "signals $what by the parent, SIG$signal" => sub {
            my $server = start_server(_wrap => $signals_left{$what});
            kill 'USR1', $server->{pid};
            ok(wait_for_log($server, qr/counters: echo_server_connections 0$/m), 'the server hears SIGUSR1 before');
            kill $signal, $server->{pid};
            is(exit_of($server, 3), 0, 'the server: exit 0');
            is(slurp($server->{err}), '', 'the server: nothing on stderr');
        };
    }
    for my $workers (1, 2) {
        group "signals $what by the parent, workers = $workers" => sub {
            my $server = start_server(_wrap => $signals_left{$what}, workers => $workers);
            idle_ones_are_heard($server, $workers);
            is(stop_program($server), 0, 'exit 0');
        };
    }
}

# ---- the client's --------------------------------------------------------------------------
my $server = start_server();
my $to     = "127.0.0.1:$server->{port}";
for my $what (sort keys %signals_left) {
    my @left = (wrap => $signals_left{$what});
    for my $signal ('TERM', 'INT') {
        group "signals $what by the parent, SIG$signal" => sub {
            my $loop = start_program(client('--server-address', $to, '--loop-lapse', '0s'), @left);
            ok(wait_for_log($loop, qr/Message from server/), 'the loop talks before');
            kill $signal, $loop->{pid};
            is(exit_of($loop, 3), 0, 'the loop: exit 0');
            like(log_of($loop), qr/SIG$signal: stopping/, 'the loop: the signal is logged');
            my $load = start_program(client('--load', $to, '--duration', '0s', '--json'), @left);
            ok(wait_for(sub { log_of($server) =~ /connection \d+ from (?!.*connection \d+ closed)/s }), 'a load connects');
            sleep 0.2;
            kill $signal, $load->{pid};
            is(exit_of($load, 3), 0, 'a load: exit 0');
            cmp_ok(report($load)->{messages_echoed} // 0, '>', 10, 'a load: its report is printed');
        };
    }
    group "signals $what by the parent, a load of 200 connections, most of them idle" => sub {
        my $load = start_program(client('--load', $to, '--connections', 200, '--rate', 2000, '--duration', '500ms', '--json'), @left);
        is(exit_of($load, 10), 0, 'exit 0');
        is(report($load)->{messages_lost}, 0, 'no message is lost');
    };
}

# Nothing was echoed then, so the client's exit code is 1.
my %programs = (server => ["$Echolab::build/echo-server", '--port', 0], client => client('--server-address', $to, '--loop-lapse', '0s'));
for my $name (sort keys %programs) {
    group "SIGTERM that waits since before the start, the $name" => sub {
        my $early = start_program($programs{$name}, wrap => left("$block_all kill TERM => \$\$;"));
        my $code = $name eq 'server' ? 0 : 1;
        is(exit_of($early, 3), $code, "exit $code");
        like(log_of($early), qr/SIGTERM: stopping/, 'the signal is logged');
    };
}

group 'SIGHUP under nohup' => sub {
    my @nohup = (wrap => left('$SIG{HUP} = "IGNORE";'));
    my $stays = start_server(_wrap => $nohup[1]);
    my $loop  = start_program(client('--server-address', $to, '--loop-lapse', '0s', '--loop-period', '50ms'), @nohup);
    my $load  = start_program(client('--load', $to, '--duration', '1500ms', '--json'), @nohup);
    my $open  = connect_to($stays->{port});
    is(echo_of($open, 'x'), 'x', 'the server serves before');
    ok(wait_for_log($loop, qr/N\S+2 sent/), 'the loop talks before');
    ok(wait_for(sub { open_fds($load->{pid}) > 12 }), 'a load connects before');
    kill 'HUP', $_->{pid} for $stays, $loop, $load;
    my $before = () = log_of($loop) =~ /from server/g;
    is(echo_of($open, 'still'), 'still', 'the server goes on');
    ok(wait_for(sub { (() = log_of($loop) =~ /from server/g) > $before + 2 }), 'the loop goes on');
    is(exit_of($load, 5), 0, 'a load: exit 0');
    cmp_ok(report($load)->{measured_ns} // 0, '>', 1.4e9, 'a load goes on to its end');
    unlike(log_of($stays) . log_of($loop), qr/HUP/, 'nothing is logged');
    close $open;
    is(stop_program($stays), 0, 'SIGTERM ends the server');
    is(stop_program($loop),  0, 'SIGTERM ends the loop');
};

# ---- a limit of file size ------------------------------------------------------------------
# Lines are dropped and counted, the echo goes on.
my $own_line = qr/listening|connection \d+ (?:from \S+ accepted|closed: .*echoed)/;
my %whole_line = (
    json => qr/^\{"time":.*"message":"(?:.*)"\}$/,
    text => qr/^[-\d]+ [:.\d]+Z (?:INFO |WARN ) \S.*[a-z\d]$/,
);
for my $format (sort keys %whole_line) {
    group "a log that may have 1,000 bytes, $format" => sub {
        my $full = start_server('log-format' => $format, _wrap => ['prlimit', '--fsize=1000:unlimited']);
        my $echoed = 0;
        for my $n (1 .. 20) {
            my $s = connect_to($full->{port}) or last;
            $echoed += echo_of($s, "n $n") eq "n $n";
            close $s;
        }
        is($echoed, 20, '20 connections: each is served');
        is(length log_of($full), 1000, '20 connections: the file has as many bytes as it may');
        sleep 0.1;
        system 'prlimit', "--pid=$full->{pid}", '--fsize=unlimited:';
        my $s = connect_to($full->{port});
        is(echo_of($s, 'more'), 'more', 'the limit is lifted: the next connection is served');
        my $n = wait_for_log($full, qr/(\d+) log lines? dropped: File too large/) // 0;
        close $s;
        ok(wait_for_log($full, qr/connection 21 closed/), 'the limit is lifted: the log goes on');
        my @lines = split /\n/, log_of($full);
        is((grep { $_ =~ $own_line } @lines) + $n, 1 + 2 * 21, "lines kept and lines told as dropped ($n) are all lines");
        my @torn = grep { $_ !~ $whole_line{$format} || $_ !~ /$own_line|dropped/ } @lines;
        cmp_ok(scalar @torn, '<=', 1, 'one line at most is torn, at the limit') or diag join "\n", @torn;
        kill 'USR1', $full->{pid};
        ok(wait_for_log($full, qr/counters: echo_server_log_lines_dropped_total \Q$n\E\b/), 'SIGUSR1 tells the same number');
        is(stop_program($full), 0, 'exit 0');
    };
}

# Room for the reason on stderr, which is a file here, too.
for my $form ([], ['--json'], ['--csv']) {
    group "a report into a file that may have 75 bytes (@$form)" => sub {
        my ($code, $out, $err) = run_program(client('--load', $to, '--messages', 20, @$form), wrap => ['prlimit', '--fsize=75']);
        is($code, 1, 'exit 1');
        like($err, qr/ERROR cannot print the report: File too large$/m, 'the reason is told');
        is(length $out, 75, 'the file has as many bytes as it may');
    };
}
is((run_program(client('--server-address', $to, '--once'), wrap => ['prlimit', '--fsize=20']))[0],
    0, 'the loop, its log in a file that may have 20 bytes: every message is echoed, exit 0');
is((run_program(["$Echolab::build/echo-$_", '--print-config'], wrap => ['prlimit', '--fsize=20']))[0],
    1, "--print-config of the $_ into a file that may have 20 bytes: exit 1") for 'server', 'client';

# ---- limits of tasks and of memory ---------------------------------------------------------
# RLIMIT_NPROC does not hold for root, so the programs run as a user that nobody else is.
my $why = qr/Resource temporarily unavailable; the limit of tasks \(pids cgroup or RLIMIT_NPROC\) or of memory \(RLIMIT_AS\) allows no further thread$/m;

sub with_few_tasks {
    my ($tasks, $name, @arguments) = @_;
    my $at = temp_dir() . "/$name";
    chmod 0755, temp_dir();
    system('cp', "$Echolab::build/$name", $at) == 0 or die if !-e $at;
    my @as = $> == 0 ? qw(setpriv --reuid=54321 --clear-groups) : ();
    return run_program([$at, @arguments], wrap => [@as, 'prlimit', '--nproc=' . ($> == 0 ? $tasks : 1)],
        env => { ASAN_OPTIONS => 'detect_leaks=0' });    # which needs a thread
}
SKIP: {
    skip 'an emulator has threads of its own', 10 if $Echolab::build =~ /aarch64/;
    my $number = $> == 0 ? 20 : qr/\d+/;
    my ($code, $out, $err) = with_few_tasks(20, 'echo-server', '--port', 0, '--workers', 64);
    is($code, 1, '64 workers, 20 tasks: exit 1');
    like($out, qr/ERROR cannot start worker thread $number of 64: $why/, '64 workers, 20 tasks: the message names threads and limits');
    is(scalar(() = $out =~ /ERROR/g), 1, '64 workers, 20 tasks: one message');
    is($err, '', '64 workers, 20 tasks: nothing on stderr');
    ($code, $out, $err) = with_few_tasks(20, 'echo-client', '--load', $to, '--threads', 64, '--connections', 64);
    is($code, 1, 'a load of 64 threads, 20 tasks: exit 1');
    like($err, qr/ERROR cannot start thread $number of 64: $why/, 'a load of 64 threads, 20 tasks: the message names threads and limits');
    ($code, $out, $err) = with_few_tasks(1, 'echo-client', '--server-address', "localhost:$server->{port}", '--once');
    is($code, 3, 'a look-up, no further task: exit 3');
    like($out, qr/localhost:\d+ not resolved: $why/, 'a look-up, no further task: the message names threads and limits');
    ($code, $out, $err) = with_few_tasks(1, 'echo-client', "localhost:$server->{port}", '--once', '--expect', 'not-resolved');
    is($code, 9, 'a look-up that is expected to fail, no further task: exit 9, for nobody was asked');
    like($out, qr/expected not-resolved, seen: 1 not resolved, some for want of ports, files or memory here$/, 'a look-up that is expected to fail, no further task: the line says so');
}
SKIP: {
    skip 'sanitizers and emulators take more', 6 if $Echolab::build ne 'build';
    my ($code, $out) = run_program(['build/echo-server', '--port', 0, '--workers', 4], wrap => ['prlimit', '--as=1500000']);
    is($code, 1, 'memory for some of the threads only (RLIMIT_AS): exit 1');
    like($out, qr/ERROR cannot start worker thread \d of 4: (?:Out of memory|.*RLIMIT_AS.*)$/m,
        'memory for some of the threads only (RLIMIT_AS): the message names threads and limits');
    # Arguments and environment stand on it, too.
    my @small = (wrap => ['prlimit', '--stack=65536']);
    my $little = start_server(workers => 2, _wrap => $small[1]);
    is(echo_of(connect_to($little->{port}), 'small'), 'small', 'a stack of 64 KiB: the server serves');
    is((run_program(client('--once', '--server-address', "localhost:$little->{port}"), @small))[0], 0, 'a stack of 64 KiB: the loop, exit 0');
    is((run_program(client('--load', "localhost:$little->{port}", '--threads', 2, '--duration', '100ms'), @small))[0],
        0, 'a stack of 64 KiB: a load, exit 0');
    is(stop_program($little), 0, 'a stack of 64 KiB: the server, exit 0');
}

# ---- no room in the queue of signals -------------------------------------------------------
for my $workers (1, 2) {
    group "RLIMIT_SIGPENDING 0, workers = $workers" => sub {
        my $mute = start_server(workers => $workers, _wrap => ['prlimit', '--sigpending=0']);
        idle_ones_are_heard($mute, $workers);
        my $start = cpu_seconds($mute->{pid});
        sleep 0.5;
        cmp_ok(cpu_seconds($mute->{pid}) - $start, '<=', 0.03, 'nothing spins afterwards');
        is(stop_program($mute), 0, 'exit 0');
    };
}

is(stop_program($server), 0, 'the server of the clients: exit 0');
done_testing();
