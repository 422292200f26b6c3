#!/usr/bin/perl
# The programs as shipped, in their sandbox: what it consists of, that nothing they do needs
# more, that a foreign call ends them with exit code 8, and what happens where the kernel has
# less.
use strict;
use warnings;
use IO::Socket::IP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

plan skip_all => 'the sandbox is part of the programs as shipped' if $Echolab::build ne 'build';
my %on = (SERVER_SANDBOX => 'on', CLI_SANDBOX => 'on');

# One field of /proc/PID/status, or of each of its threads.
sub status_of {
    my ($pid, $field) = @_;
    return join ' ', map { slurp($_) =~ /^$field:\s+(\S+)$/m ? $1 : '?' } glob "/proc/$pid/task/*/status";
}

{
    my ($code, $out) = run_program(['build/echo-server', '--port', 0, '--sandbox', 'on'], wrap => ['timeout', '-s', 'TERM', 0.3]);
    plan skip_all => "this kernel cannot do all of it: $out" if $out =~ /no sandbox/;
}

# ---- what there is -------------------------------------------------------------------------
for my $mode ('auto', 'on') {
    for my $workers (1, 3) {
        my $server  = start_server(workers => $workers, _env => { SERVER_SANDBOX => $mode, SERVER_LOG_LEVEL => 'debug' });
        my $threads = $workers == 1 ? 1 : $workers + 1;
        is(status_of($server->{pid}, 'NoNewPrivs'), join(' ', (1) x $threads), "sandbox = $mode, $workers workers: no new privileges");
        is(status_of($server->{pid}, 'Seccomp'), join(' ', (2) x $threads), "sandbox = $mode, $workers workers: a filter in each thread");
        like(log_of($server), qr/DEBUG sandbox: no_new_privs, Landlock ABI \d+, seccomp$/m, "sandbox = $mode, $workers workers: the log says so");
        is(echo_of(connect_to($server->{port}), 'inside'), 'inside', "sandbox = $mode, $workers workers: it echoes");
        is(stop_program($server), 0, "sandbox = $mode, $workers workers: SIGTERM, exit 0");
        is(slurp($server->{err}), '', "sandbox = $mode, $workers workers: nothing on stderr");
    }
}
{
    my $server = start_server(sandbox => 'off');
    is(status_of($server->{pid}, 'Seccomp') . status_of($server->{pid}, 'NoNewPrivs'), '00', 'sandbox = off: no filter, and privileges are as before');
    stop_program($server);
}

# ---- the client: with a number, with a name, under load ---------------------------------------
{
    my $server = start_server(_env => \%on);
    my $loop   = ['build/echo-client', '--loop-lapse', '0s', '--loop-period', '20ms', '--server-address'];
    for my $host ('127.0.0.1', '[::1]', 'localhost') {
        my $client = start_program([@$loop, "$host:$server->{port}"], env => \%on);
        ok(wait_for_log($client, qr/N\S+5 sent/), "a client of $host talks");
        like(status_of($client->{pid}, 'Seccomp'), qr/^2(?: 2)*$/, "a client of $host is behind a filter, its resolver's thread, too");
        is(stop_program($client), 0, "a client of $host: SIGTERM, exit 0") or diag log_of($client), slurp($client->{err});
    }
    for my $options ([], ['--threads', 2, '--rate', 2000], ['--reconnect'], ['--source', '127.0.0.2,127.0.0.3'], ['--size', '1MiB', '--csv']) {
        my ($code, $out, $err) = run_program(['build/echo-client', '--load', "localhost:$server->{port}", '--duration', '300ms', @$options], env => \%on);
        is("$code $err", '0 ', "a load @$options: exit 0, nothing on stderr") or diag $out;
    }
    my $load = start_program(['build/echo-client', '--load', "127.0.0.1:$server->{port}", '--duration', '30s', '--threads', 2], env => \%on);
    ok(wait_for(sub { status_of($load->{pid}, 'Seccomp') eq '2 2 2' }), 'a load of two threads: all of them are behind a filter');
    ok(wait_for(sub { cpu_seconds($load->{pid}) > 0.1 }, 20), 'a load of two threads is at work');
    is(stop_program($load), 0, 'a load of two threads: SIGTERM, exit 0');
    $load = start_program(['build/echo-client', '--load', "127.0.0.1:$server->{port}", '--duration', '2s', '--connections', 40], env => \%on);
    ok(wait_for(sub { status_of($load->{pid}, 'Seccomp') eq '2 2' }), 'a load of 40 connections is behind a filter');
    system "prlimit --pid $load->{pid} --nofile=20:";
    is(exit_of($load), 0, 'a load of 40 connections, the limit of descriptors lowered below them: exit 0') or diag slurp($load->{err});
    is(stop_program($server), 0, 'the server of the clients: SIGTERM, exit 0');
}

# ---- no call has a second way, which the filter would have to allow -------------------------------
{
    my $server = start_server(_env => \%on, _wrap => ['strace', '-D', '-qq', '-o', '/dev/null', '-e', 'trace=accept4', '-e', 'inject=accept4:error=EINVAL:when=1']);
    is(echo_of(connect_to($server->{port}), 'taken'), 'taken', 'accept4() fails with EINVAL: it is tried again');
    my ($code, $out, $err) = run_program(['build/echo-client', '--server-address', "127.0.0.1:$server->{port}", '--once'], env => \%on,
        wrap => ['strace', '-D', '-qq', '-o', '/dev/null', '-e', 'trace=socket', '-e', 'inject=socket:error=EINVAL:when=1']);
    like("$code $out $err", qr/^4 .* unreachable: Invalid argument\n.* $/s, 'socket() fails with EINVAL: that is the result') or diag $out;
    is(stop_program($server), 0, 'accept4() fails with EINVAL: SIGTERM, exit 0');
}

# ---- a file that look-ups need: written again, then replaced -------------------------------------
SKIP: {
    my @unshare = ('unshare', ($> == 0 ? () : '-r'), '-m');
    skip 'no mount namespaces here', 3 if system("@unshare true 2>/dev/null") != 0;
    my $etc  = temp_dir() . '/etc';
    my $text = "127.0.0.1 localhost\n";
    my $write = sub { my ($name, $what) = @_; open my $out, '>', "$etc/$name" or die; print $out $what; close $out };
    mkdir $etc;
    $write->('hosts',       $text);
    $write->('resolv.conf', "nameserver 127.0.0.1\n");
    my $server = start_server(_env => \%on);
    my $client = start_program(['build/echo-client', '--server-address', "localhost:$server->{port}", '--loop-lapse', '0s', '--loop-period', '20ms', '--timeout', '200ms'],
        env => \%on, wrap => [@unshare, 'sh', '-c', 'mount --bind "$0" /etc && exec "$@"', $etc]);
    ok(wait_for_log($client, qr/N\S+3 sent/), 'a client of a name talks');
    $write->('hosts', "127.0.0.1 other\n$text");
    my ($n) = log_of($client) =~ /N\D+(\d+) sent\n\z/;
    ok(wait_for(sub { log_of($client) =~ /N\D+${\($n + 5)} sent/ }), 'a client of a name goes on when /etc/hosts is written again');
    $write->('new', $text);
    rename "$etc/new", "$etc/hosts" or die;
    ok(wait_for_log($client, qr{not resolved: .*; the sandbox cannot read the new /etc/hosts$}m), 'a client of a name says why it is not found when /etc/hosts is replaced');
    stop_program($client);
    stop_program($server);
}

# ---- stopped and gone on with, watched by a tracer (restart_syscall) ---------------------------
{
    my $server = start_server(_env => \%on);
    my $client = start_program(['build/echo-client', '--server-address', "127.0.0.1:$server->{port}", '--loop-lapse', '0s', '--loop-period', '10s'], env => \%on);
    ok(wait_for_log($client, qr/N\S+1 sent/), 'a server and a client wait');
    for my $name ('server', 'client') {
        my $program = $name eq 'server' ? $server : $client;
        sleep 0.1;
        kill 'STOP', $program->{pid};
        sleep 0.1;
        kill 'CONT', $program->{pid};
        sleep 0.1;
        my $tracer = start_program(['strace', '-f', '-o', '/dev/null', '-p', $program->{pid}]);
        ok(wait_for(sub { slurp($tracer->{err}) =~ /attached/ }), "a tracer attaches to the $name");
        kill 'INT', $tracer->{pid};
        exit_of($tracer);
        is(exit_of($program, 0), undef, "stopped, continued, traced: the $name lives");
    }
    is(echo_of(connect_to($server->{port}), 'again'), 'again', 'stopped, continued, traced: the server echoes');
    is(stop_program($client), 0, 'stopped, continued, traced: SIGTERM ends the client with 0');
    is(stop_program($server), 0, 'stopped, continued, traced: SIGTERM ends the server with 0');
}

# ---- a foreign call --------------------------------------------------------------------------
SKIP: {
    my $intruder = 'build/test/intruder';
    skip 'the intruder knows x86-64 only', 38 if `uname -m` ne "x86_64\n";
    ok(-x $intruder, 'the intruder is built') or skip 'no intruder', 37;
    my %calls = (open => 2, socket => 41, bind => 49, fork => 57, execve => 59, kill => 62, ptrace => 101, openat => 257, io_uring_setup => 425);
    for my $call (sort keys %calls) {
        my $server = start_server(_env => \%on);
        is((run_program([$intruder, $server->{pid}, $calls{$call}]))[0], 0, "the server is made to call $call");
        wait_for(sub { my $s = connect_to($server->{port}, timeout => 1); defined exit_of($server, 0) });
        is(exit_of($server, 2), 8, "the server made to call $call: exit code 8");
        is(slurp($server->{err}), "sandbox: system call $calls{$call} is not allowed: exit code 8\n", "the server made to call $call: it says which call that was");
    }
    my $server = start_server(_env => \%on);
    for my $options ([], ['--expect', 'echo']) {
        my $client = start_program(['build/echo-client', "127.0.0.1:$server->{port}", '--loop-lapse', '0s', '--loop-period', '100ms', @$options], env => \%on);
        ok(wait_for_log($client, qr/N\S+1 sent/), "a client talks (@$options)");
        is((run_program([$intruder, $client->{pid}, 59]))[0], 0, "a client is made to call execve (@$options)");
        is(exit_of($client, 2), 8, "a client made to call execve: exit code 8 (@$options)");
    }
    my $workers = start_server(workers => 2, _env => \%on);
    my ($thread) = grep { $_ != $workers->{pid} } map {m{(\d+)$}} glob "/proc/$workers->{pid}/task/*";
    is((run_program([$intruder, $thread, 57]))[0], 0, "a worker's thread is made to fork");
    wait_for(sub { connect_to($workers->{port}, timeout => 1); connect_to($workers->{port}, timeout => 1); defined exit_of($workers, 0) });
    is(exit_of($workers, 2), 8, "a worker's thread made to fork: exit code 8 of the whole process");
    my $free = start_server(sandbox => 'off');
    is((run_program([$intruder, $free->{pid}, 110]))[0], 0, 'a server without a sandbox is made to do a foreign call');
    is(echo_of(connect_to($free->{port}), 'alive'), 'alive', 'a foreign call does no harm to a server without a sandbox');
}

# ---- kernels that have less -------------------------------------------------------------------
for my $case (
    ['landlock_create_ruleset:error=ENOSYS',   'Landlock: Function not implemented'],
    ['landlock_restrict_self:error=EPERM',     'Landlock: Operation not permitted'],
    ['seccomp:error=EINVAL',                   'seccomp: Invalid argument'],
    ['prctl:error=EINVAL',                     'no_new_privs: Invalid argument'])
{
    my ($inject, $told) = @$case;
    my ($call) = $inject =~ /^(\w+)/;
    my @trace = ('strace', '-D', '-qq', '-o', '/dev/null', '-e', "trace=$call", '-e', "inject=$inject");
    my $server = start_server(sandbox => 'auto', _wrap => \@trace);
    my @told = log_of($server) =~ /^.*sandbox.*$/mg;
    is(scalar @told, 1, "$inject, auto: one line of the log is about it");
    # Without no_new_privs only root may do the rest.
    like($told[0] // '', qr/WARN  the sandbox is not complete: \Q$told\E@{[$> == 0 ? '$' : '']}/, "$inject, auto: the line says what is missing");
    is(echo_of(connect_to($server->{port}), 'without'), 'without', "$inject, auto: the server serves");
    stop_program($server);
    for my $program (['build/echo-server', '--port', 0], ['build/echo-server', '--port', 0, '--workers', 2],
        ['build/echo-client', '--server-address', '127.0.0.1:9', '--once'], ['build/echo-client', '--load', '127.0.0.1:9', '--duration', '1s'])
    {
        my ($code, $out, $err) = run_program($program, env => \%on, wrap => \@trace);
        is($code, 1, "$inject, on: @$program does not start") or diag $out, $err;
        like($out . $err, qr/ERROR no sandbox: \Q$told\E; allowed: sandbox = auto$/m, "$inject, on: @$program says why");
        unlike($out, qr/listening|Message/, "$inject, on: @$program neither serves nor sends before");
    }
}
done_testing;
