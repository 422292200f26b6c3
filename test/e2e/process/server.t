#!/usr/bin/perl
# The server as a process: echo, half-close, limits, timeouts, what it logs.
use strict;
use warnings;
use Socket qw(AF_UNIX SOCK_STREAM pack_sockaddr_un);
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

sub bytes_of {
    my ($length) = @_;
    srand(1);
    return join '', map { chr int rand 256 } 1 .. $length;
}

# ---- echo --------------------------------------------------------------------------------
group 'echo' => sub {
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
        join(',', map { "client $_\n" } 0 .. 49), '50 connections at once each get their own bytes');
    close $_ for @many;

    half_close($a);
    is(receive_until_eof($a), '', 'an end of stream is answered by an end of stream');

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
};

# ---- a full table ------------------------------------------------------------------------
group 'a full table' => sub {
    my $server = start_server('max-connections' => 3);
    my @in     = map { connect_to($server->{port}) } 1 .. 3;
    is(echo_of($_, 'x'), 'x', 'a connection within the limit is served') for @in;
    my $waiting = connect_to($server->{port});
    send_all($waiting, 'queued');
    is(receive($waiting, 6, 0.3), '', 'one too many waits in the backlog');
    is(echo_of($in[0], 'y'), 'y', 'the one that waits does not disturb the others');
    my $start = cpu_seconds($server->{pid});
    sleep 0.5;
    cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.05, 'the one that waits does not make the loop spin');
    my $took = shortest(0.1, sub {
        my $t = time;
        close shift @in;
        is(receive($waiting, 6), 'queued', 'a freed slot takes the one that waits');
        my $took = time - $t;
        push @in, $waiting;
        $waiting = connect_to($server->{port});
        send_all($waiting, 'queued');
        return $took;
    });
    cmp_ok($took, '<', 0.1, 'a freed slot takes it within 100 ms');
    close $_ for @in, $waiting;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# ---- descriptors run out -----------------------------------------------------------------
group 'a low limit of descriptors' => sub {
    my $server = start_server(_wrap => ['prlimit', '--nofile=20:20']);
    like(log_of($server), qr/WARN  max_connections lowered from 10000 to 4: RLIMIT_NOFILE is 20/,
        'a limit of 20 lowers max_connections, and it is logged');
    is(stop_program($server), 0, 'a limit of 20: SIGTERM, exit 0');

  SKIP: {
        skip 'an emulator needs descriptors itself', 2 if $Echolab::build =~ /aarch64/;
        my ($code, $out) = run_program(["$Echolab::build/echo-server", '--port', 0],
            wrap => ['prlimit', '--nofile=10:10']);
        is($code, 1, 'too few for one connection: exit 1');
        like($out, qr/RLIMIT_NOFILE is 10: too low; at least 17/, 'too few for one connection: it says why');
    }
};
group 'the limit of descriptors lowered below what is open' => sub { SKIP: {
    my $server = start_server('max-connections' => 50);
    my @in     = map { connect_to($server->{port}) } 1 .. 3;
    is(echo_of($_, 'x'), 'x', 'three connections are served before') for @in;
    system('prlimit', "--pid=$server->{pid}", '--nofile=3:1024') == 0
        or skip 'prlimit cannot change a process here', 7;
    my $late  = connect_to($server->{port});
    my $start = cpu_seconds($server->{pid});
    send_all($late, 'late');
    is(receive($late, 4, 1.2), '', 'no more are accepted');
    is(echo_of($in[1], 'y'), 'y', 'the open ones go on');
    cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.1, 'the loop does not spin');
    my @told = log_of($server) =~ /cannot accept: /g;
    cmp_ok(scalar @told, '<=', 2, 'the log has at most a line per second');
    cmp_ok(scalar @told, '>=', 1, 'the log has one line at least');
    system 'prlimit', "--pid=$server->{pid}", '--nofile=1024:1024';
    is(receive($late, 4), 'late', 'once it is lifted, the waiting one is served');
    close $_ for @in, $late;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
}};

# ---- idle timeout ------------------------------------------------------------------------
group 'idle_timeout' => sub {
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
    like(log_of($server), qr/connection 1 closed: idle, 0 bytes echoed/, 'a silent connection is logged as idle');
    ok($alive, 'one that talks is kept');
    close $active;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# ---- peers that are gone or do not read --------------------------------------------------
group 'peers that reset or never read' => sub {
    my $server = start_server();
    my $good   = connect_to($server->{port});
    is(echo_of($good, 'x'), 'x', 'another peer is served before');
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
    cmp_ok($sent, '>', 100_000, 'one that never reads has sent enough to fill all buffers');
    my $rss = $Echolab::build eq 'build' ? rss_kib($server->{pid}) : 'not as shipped: not ours';
    like($rss, qr/not ours|^\d{1,3}$/, "the server keeps one bounded buffer for it (RSS $rss KiB)");
    is(echo_of($good, 'still'), 'still', 'another peer is served meanwhile');
    reset_connection($never);
    ok(wait_for(sub { open_fds($server->{pid}) == $base }), 'their descriptors are released');
    close $good;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# ---- write timeout -----------------------------------------------------------------------
group 'write_timeout' => sub {
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
    ok(defined $ended && $ended < 3.5, 'a peer that takes nothing is cut')
        or diag log_of($server);
    unlike(log_of($server), qr/connection 2 closed/, 'a peer that makes progress is not cut');
    cmp_ok($read, '>', 500_000, "a peer that makes progress gets its bytes ($read)");
    reset_connection($_) for $dead, $slow;
    is(stop_program($server), 1, 'SIGTERM: exit 1, as a connection was cut');
};

# ---- addresses, errors, formats ----------------------------------------------------------
group 'address = 127.0.0.1, format = json' => sub {
    my $server = start_server(address => '127.0.0.1', 'log-format' => 'json');
    my $s      = connect_to($server->{port});
    is(echo_of($s, 'v4'), 'v4', 'a connection to the address is served');
    close $s;
    my ($code, $out, $err) = run_program(
        ["$Echolab::build/echo-server", '--address', '127.0.0.1', '--port', $server->{port}]);
    is($code, 1, 'a port in use: exit 1');
    like($out, qr/ERROR cannot bind 127\.0\.0\.1:\d+: Address.* in use/, 'a port in use: it says so');
    is(stop_program($server), 0, 'SIGTERM: exit 0');
    my @bad = grep { !/^\{"time":"[\d-]+T[\d:.]+Z","level":"\w+","event":"\w+",.*"message":"[^"\\]*"\}$/ }
        split /\n/, log_of($server);
    is("@bad", '', 'every line of the log is an object');
};
group 'a kernel without IPv6' => sub { SKIP: {
    skip 'no strace', 3 if system('strace -o /dev/null true 2>/dev/null') != 0;
    my $server = start_server(_wrap => ['strace', '-D', '-o', '/dev/null', '-e',
        'inject=socket:error=EAFNOSUPPORT:when=1']);
    like(log_of($server), qr/falling back to 0\.0\.0\.0\n.*listening on 0\.0\.0\.0:\d+/,
        'it listens on 0.0.0.0, and says so');
    my $s = connect_to($server->{port});
    is(echo_of($s, 'v4'), 'v4', 'it serves');
    close $s;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
}};

# ---- without standard descriptors --------------------------------------------------------
group 'started with descriptors 0 to 2 closed' => sub {
    my $port   = free_port();
    my $server = start_program(['sh', '-c',
        "exec $Echolab::build/echo-server --address 127.0.0.1 --port $port <&- >&- 2>&-"]);
    my $s;
    ok(wait_for(sub { $s = connect_to($port) }), 'it starts');
    is(echo_of($s, 'hello'), 'hello', 'it serves');
    my $start = cpu_seconds($server->{pid});
    sleep 0.3;
    cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.02, 'the log does not get into its pipes: it takes no CPU time');
    close $s;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# ---- health check ------------------------------------------------------------------------
group 'health check' => sub {
    my $server = start_server('max-connections' => 2, 'log-level' => 'debug');
    my @check  = ("$Echolab::build/echo-server", '--healthcheck', '--port', $server->{port});
    my ($code, $out) = run_program(\@check);
    is($code, 0, 'a healthy server: exit 0');
    is($out, "healthy\n", 'a healthy server: it says so');
    my @in = map { connect_to($server->{port}) } 1 .. 2;
    is(echo_of($_, 'x'), 'x', 'a slot is taken') for @in;
    my $waits = connect_to($server->{port});
    ($code, $out) = run_program(\@check);
    is("$code $out", "0 healthy\n", 'a full table: healthy');
    close $_ for @in, $waits;
    kill 'STOP', $server->{pid};
    my $took = shortest(1, sub {
        my $t = time;
        ($code, $out) = run_program(\@check);
        is("$code $out", "1 timed out\n", 'a stopped process is not healthy');
        return time - $t;
    });
    cmp_ok($took, '<', 1, 'a stopped process is found to be so in less than a second');
    kill 'CONT', $server->{pid};
    ok(wait_for(sub { (run_program(\@check))[0] == 0 }), 'a process that goes on is healthy again');
    is(stop_program($server), 0, 'SIGTERM: exit 0');
    ($code, $out) = run_program(\@check);
    is("$code $out", "1 refused\n", 'no server: not healthy');
    my $log = log_of($server);
    is(scalar(() = $log =~ /accepted/g), 3, 'checks have no line in the log, at level debug');
    like($log, qr/connection 3 /, 'checks take no number');
    like($log, qr/stopped: 3 connections/, 'checks count as no connection');
};

group 'health checks that do not end' => sub {
    my $server = start_server;
    my $name   = (grep { /echo-server.*:$server->{port}$/ } map { /@(\S+)/ } split /\n/, slurp('/proc/net/unix'))[0];
    my @held   = map { socket my $s, AF_UNIX, SOCK_STREAM, 0; connect($s, pack_sockaddr_un("\0$name")) ? $s : () } 1 .. 8;
    is(scalar @held, 8, 'eight connect and say nothing');
    my @check = ("$Echolab::build/echo-server", '--healthcheck', '--port', $server->{port});
    ok(wait_for(sub { (run_program(\@check))[0] == 0 }, 10), 'within 10 s they are cut, and a check finds the server healthy');
    my $fds = open_fds($server->{pid});
    cmp_ok($fds, '<=', 14, "$fds descriptors are open then");
    is(echo_of(connect_to($server->{port}), 'x'), 'x', 'clients are served');
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

group 'a check is told which server' => sub {
    my @server = (start_server(address => '127.0.0.1'), start_server(address => '0.0.0.0', workers => 2));
    for my $server (@server) {
        my @here = (address => $server == $server[0] ? '127.0.0.1' : '0.0.0.0', port => $server->{port});
        my @check = ("$Echolab::build/echo-server", '--healthcheck', map { $_ % 2 ? $here[$_] : "--$here[$_]" } 0 .. 3);
        is((run_program(\@check))[0], 0, "$here[1]: healthy");
        kill 'STOP', $server->{pid};
        is((run_program(\@check))[0], 1, "$here[1]: not healthy while it is stopped, though another one serves");
        kill 'CONT', $server->{pid};
    }
    is((run_program(["$Echolab::build/echo-server", '--healthcheck', '--port', 1]))[0], 1, 'a port on which none listens: not healthy');
    is((run_program(["$Echolab::build/echo-server", '--healthcheck', '--address', '127.0.0.2', '--port', $server[0]{port}]))[0], 1, 'another address: not healthy');
    is(stop_program($_), 0, 'SIGTERM: exit 0') for @server;
};

done_testing();
