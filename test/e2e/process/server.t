#!/usr/bin/perl
# The server as a process: echo, half-close, limits, timeouts, what it logs.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

sub bytes_of {
    my ($length) = @_;
    srand(1);
    return join '', map { chr int rand 256 } 1 .. $length;
}

# ---- echo --------------------------------------------------------------------------------
{
    my $server = start_server('log-level' => 'debug');
    my $base   = open_fds($server->{pid});
    my $a      = connect_to($server->{port});
    is(echo_of($a, "hello\n"), "hello\n", 'a line comes back');
    my $all = join '', map { chr } 0 .. 255;
    is(echo_of($a, $all), $all, 'every byte value comes back');
    my $b = connect_to($server->{port}, host => '::1');
    SKIP: {
        skip 'no IPv6 here', 1 if !$b;
        is(echo_of($b, "six\n"), "six\n", 'the same port serves IPv6');
    }
    my @many = map { connect_to($server->{port}) } 1 .. 50;
    send_all($many[$_], "client $_\n") for 0 .. 49;
    is(join(',', map { receive($many[$_], length "client $_\n") } 0 .. 49),
        join(',', map { "client $_\n" } 0 .. 49), '50 at once each get their own bytes');
    close $_ for @many;

    half_close($a);
    is(receive_until_eof($a), '', 'end of stream is answered by end of stream');

    my $big  = bytes_of(3_000_000);
    my $c    = connect_to($server->{port});
    my $pid  = fork;
    if ($pid == 0) { send_all($c, $big); half_close($c); POSIX::_exit(0) }
    sleep 0.3;    # nothing is read for a while: the server must hold back
    my $got = receive_until_eof($c);
    waitpid $pid, 0;
    ok($got eq $big, '3 MB, half-closed before reading: the whole echo comes, then the end');
    close $_ for $a, $c, $b // ();
    ok(wait_for(sub { open_fds($server->{pid}) == $base }), 'all descriptors are released');

    my $log = log_of($server);
    like($log, qr/INFO  connection 1 from 127\.0\.0\.1:\d+ accepted$/m, 'an accept is logged');
    like($log, qr/DEBUG connection 1 sent 6 bytes: hello\\n$/m, 'a message is logged, escaped');
    like($log, qr/INFO  connection 1 closed: peer ended it, 262 bytes echoed$/m,
        'a close is logged with its bytes');
    unlike($log, qr/[\x00-\x09\x0b-\x1f\x7f]/, 'no control byte of the peer reaches the log');
    is(stop_program($server), 0, 'SIGTERM: exit 0');
    my @accepted = log_of($server) =~ /^.* connection (\d+) from /mg;
    my @closed   = log_of($server) =~ /^.* connection (\d+) closed/mg;
    is(scalar @closed, scalar @accepted, 'as many closes as accepts are logged');
    is(slurp($server->{err}), '', 'nothing on stderr');
}

# ---- a full table ------------------------------------------------------------------------
{
    my $server = start_server('max-connections' => 3);
    my @in     = map { connect_to($server->{port}) } 1 .. 3;
    is(echo_of($_, 'x'), 'x', 'a connection within the limit is served') for @in;
    my $waiting = connect_to($server->{port});
    send_all($waiting, 'queued');
    is(receive($waiting, 6, 0.3), '', 'one too many waits in the backlog');
    is(echo_of($in[0], 'y'), 'y', '... and does not disturb the others');
    my $start = cpu_seconds($server->{pid});
    sleep 0.5;
    cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.05, '... nor makes the loop spin');
    my $t = time;
    close $in[0];
    is(receive($waiting, 6), 'queued', 'a freed slot takes it');
    cmp_ok(time - $t, '<', 0.1, '... within 100 ms');
    close $_ for @in[1, 2], $waiting;
    is(stop_program($server), 0, 'exit 0');
}

# ---- descriptors run out -----------------------------------------------------------------
{
    my $server = start_server(_wrap => ['prlimit', '--nofile=20:20']);
    like(log_of($server), qr/WARN  max_connections lowered from 10000 to 10: RLIMIT_NOFILE is 20/,
        'the limit of descriptors lowers max_connections, and it is logged');
    is(stop_program($server), 0, 'exit 0');

  SKIP: {
        skip 'an emulator needs descriptors itself', 2 if $Echolab::build =~ /aarch64/;
        my ($code, $out) = run_program(["$Echolab::build/echo-server", '--port', 0],
            wrap => ['prlimit', '--nofile=10:10']);
        is($code, 1, 'no room for one connection: exit 1');
        like($out, qr/RLIMIT_NOFILE is 10: too low; at least 11/, '... and says why');
    }
}
SKIP: {
    my $server = start_server('max-connections' => 50);
    my @in     = map { connect_to($server->{port}) } 1 .. 3;
    is(echo_of($_, 'x'), 'x', 'served') for @in;
    system('prlimit', "--pid=$server->{pid}", '--nofile=3:1024') == 0
        or skip 'prlimit cannot change a process here', 6;
    my $late  = connect_to($server->{port});
    my $start = cpu_seconds($server->{pid});
    send_all($late, 'late');
    is(receive($late, 4, 1.2), '', 'the limit lowered below what is open: no more are accepted');
    is(echo_of($in[1], 'y'), 'y', '... and the open ones go on');
    cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.1, '... without spinning');
    my @told = log_of($server) =~ /cannot accept: /g;
    cmp_ok(scalar @told, '<=', 2, '... with at most a line per second');
    cmp_ok(scalar @told, '>=', 1, '... but with one');
    system 'prlimit', "--pid=$server->{pid}", '--nofile=1024:1024';
    is(receive($late, 4), 'late', 'the limit lifted: the waiting one is served');
    close $_ for @in, $late;
    is(stop_program($server), 0, 'exit 0');
}

# ---- idle timeout ------------------------------------------------------------------------
{
    my $server = start_server('idle-timeout' => '700ms');
    my $silent = connect_to($server->{port});
    my $active = connect_to($server->{port});
    my $t      = time;
    my $alive  = 1;
    while (time - $t < 1.5) {
        $alive &&= echo_of($active, 'tick') eq 'tick';
        sleep 0.1;
    }
    is(receive_until_eof($silent, 0.1), '', 'a silent connection is ended');
    like(log_of($server), qr/connection 1 closed: idle, 0 bytes echoed/, '... and logged as idle');
    ok($alive, 'one that talks is kept');
    close $active;
    is(stop_program($server), 0, 'exit 0');
}

# ---- peers that are gone or do not read --------------------------------------------------
{
    my $server = start_server();
    my $good   = connect_to($server->{port});
    is(echo_of($good, 'x'), 'x', 'a good peer');
    my $base = open_fds($server->{pid});
    for (1 .. 20) {
        my $s = connect_to($server->{port});
        send_all($s, 'x' x 1000);
        reset_connection($s);
    }
    my $never = connect_to($server->{port});
    $never->blocking(0);
    my $sent = 0;
    for (1 .. 400) {    # fills both directions
        my $n = syswrite $never, 'z' x 65536;
        $sent += $n if defined $n;
        sleep 0.005 if !defined $n;
    }
    cmp_ok($sent, '>', 100_000, 'a peer that never reads was sent to');
    my ($rss) = slurp("/proc/$server->{pid}/status") =~ /VmRSS:\s+(\d+)/;
    $rss = 'not as shipped: not ours' if $Echolab::build ne 'build';
    like($rss, qr/not ours|^\d{1,3}$/, "... the server keeps one bounded buffer for it (RSS $rss KiB)");
    is(echo_of($good, 'still'), 'still', 'others are served while peers reset and stall');
    reset_connection($never);
    ok(wait_for(sub { open_fds($server->{pid}) == $base }), 'their descriptors are released');
    close $good;
    is(stop_program($server), 0, 'exit 0');
}

# ---- write timeout -----------------------------------------------------------------------
{
    my $server = start_server('write-timeout' => '1500ms');
    my ($dead, $slow) = map { connect_to($server->{port}) } 1 .. 2;
    for my $s ($dead, $slow) {
        $s->blocking(0);
        for (1 .. 400) { sleep 0.001 if !defined syswrite $s, 'z' x 65536 }
    }
    my $t     = time;
    my $ended = undef;
    my $read  = 0;
    while (time - $t < 4) {    # one reads nothing, the other a little now and then
        # Much at a time: TCP tells of new room in large steps only (RFC 9293, 3.8.6.2.2).
        for (1 .. 4) { $read += sysread($slow, my $piece, 100_000) // 0 }
        sleep 0.3;
        $ended //= time - $t if log_of($server) =~ /connection 1 closed/;
    }
    ok(defined $ended && $ended < 2.5, 'a peer that takes nothing is cut after write_timeout')
        or diag log_of($server);
    unlike(log_of($server), qr/connection 2 closed/, '... one that makes progress is not');
    cmp_ok($read, '>', 500_000, "... and gets its bytes ($read)");
    reset_connection($_) for $dead, $slow;
    is(stop_program($server), 1, 'exit 1: a connection was cut');
}

# ---- addresses, errors, formats ----------------------------------------------------------
{
    my $server = start_server(address => '127.0.0.1', 'log-format' => 'json');
    my $s      = connect_to($server->{port});
    is(echo_of($s, 'v4'), 'v4', 'an IPv4 address is listened on');
    close $s;
    my ($code, $out, $err) = run_program(
        ["$Echolab::build/echo-server", '--address', '127.0.0.1', '--port', $server->{port}]);
    is($code, 1, 'a port in use: exit 1');
    like($out, qr/ERROR cannot bind 127\.0\.0\.1:\d+: Address.* in use/, '... and says so');
    is(stop_program($server), 0, 'exit 0');
    my @bad = grep { !/^\{"time":"[\d-]+T[\d:.]+Z","level":"\w+","message":"[^"\\]*"\}$/ }
        split /\n/, log_of($server);
    is("@bad", '', 'format = json: every line is an object');
}
SKIP: {
    skip 'no strace', 3 if system('strace -o /dev/null true 2>/dev/null') != 0;
    my $server = start_server(_wrap => ['strace', '-D', '-o', '/dev/null', '-e',
        'inject=socket:error=EAFNOSUPPORT:when=1']);
    like(log_of($server), qr/falling back to 0\.0\.0\.0\n.*listening on 0\.0\.0\.0:\d+/,
        'without IPv6 it listens on 0.0.0.0, and says so');
    my $s = connect_to($server->{port});
    is(echo_of($s, 'v4'), 'v4', '... and serves');
    close $s;
    is(stop_program($server), 0, 'exit 0');
}

# ---- without standard descriptors --------------------------------------------------------
{
    my $free = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
    my $port = $free->sockport;
    close $free;
    my $server = start_program(['sh', '-c',
        "exec $Echolab::build/echo-server --address 127.0.0.1 --port $port <&- >&- 2>&-"]);
    my $s;
    ok(wait_for(sub { $s = connect_to($port) }), 'started with descriptors 0 to 2 closed');
    is(echo_of($s, 'hello'), 'hello', '... it serves');
    my $start = cpu_seconds($server->{pid});
    sleep 0.3;
    cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.02, '... and the log does not get into its pipes');
    close $s;
    is(stop_program($server), 0, 'exit 0');
}

# ---- health check ------------------------------------------------------------------------
{
    my $server = start_server('max-connections' => 2);
    my @check  = ("$Echolab::build/echo-server", '--healthcheck', '--port', $server->{port});
    my ($code, $out) = run_program(\@check);
    is($code,  0,           'healthcheck: exit 0');
    is($out,   "healthy\n", '... and says so');
    unlike(log_of($server), qr/connection/, '... and stays out of the log at info');
    my @in = map { connect_to($server->{port}) } 1 .. 2;
    is(echo_of($_, 'x'), 'x', 'a slot taken') for @in;
    my $t = time;
    ($code, $out) = run_program(\@check);
    is("$code $out", "1 timed out\n", 'a full server is not healthy');
    cmp_ok(time - $t, '<', 1, '... which takes less than a second to find');
    close $_ for @in;
    kill 'STOP', $server->{pid};
    ($code, $out) = run_program(\@check);
    is("$code $out", "1 timed out\n", 'a stopped process is not healthy');
    kill 'CONT', $server->{pid};
    ok(wait_for(sub { (run_program(\@check))[0] == 0 }), 'continued, it is healthy again');
    is(stop_program($server), 0, 'exit 0');
    ($code, $out) = run_program(\@check);
    is("$code $out", "1 refused\n", 'no server: not healthy');
}

done_testing();
