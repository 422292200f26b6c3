#!/usr/bin/perl
# Floods and hostile peers: the server keeps its limits and its other clients lose nothing and
# wait no longer. All of it happens in a network namespace of the test's own.
use strict;
use warnings;
use JSON::PP;
use IO::Handle;
use Socket qw(:DEFAULT inet_aton pack_sockaddr_in);
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use ByteChecker;

enter_own_network();

my @raise = ('prlimit', '--nofile=20000:20000');
my $share = $ENV{FAULT_CORE} ? 10 : 1;    # of the large numbers

# Start `echo-client --load` in the background; its report by report_of().
sub start_load {
    my ($server, @how) = @_;
    my @wrap = ref $how[0] ? @{ shift @how } : ();
    return start_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$server->{port}", '--json', @how], wrap => \@wrap);
}

sub report_of {
    my ($program) = @_;
    my $code = exit_of($program, 60);
    my $report = eval { decode_json(log_of($program)) } // {};
    $report->{code} = $code // 'still running';
    $report->{lost} = $report->{messages_lost} // 'no report';
    return $report;
}

sub ms { return sprintf '%.2f ms', $_[0] / 1e6 }

# ---- more connections than are allowed -----------------------------------------------------
group 'more connections than are allowed' => sub {
    my $cap    = 100;
    my $server = start_server('max-connections' => $cap, 'listen-backlog' => 1000, 'log-level' => 'info', _wrap => \@raise);
    my @first  = map { connect_to($server->{port}) } 1 .. $cap;
    my $right  = grep { echo_of($_, 'in') eq 'in' } @first;
    is($right, $cap, "$cap of them have an echo: the table is full");
    my $base  = open_fds($server->{pid});
    my @more  = map { connect_to($server->{port}) } 1 .. 500;
    send_all($_, 'wait') for @more;
    my $above = 0;
    $right = 0;
    for my $round (1 .. 20) {
        $right += grep { echo_of($_, "round $round") eq "round $round" } @first;
        $above++ if open_fds($server->{pid}) > $base;
    }
    is($right, 20 * $cap, '500 more: the first ones keep their echo, every byte');
    is($above, 0, '500 more: never is one more open than allowed');
    my @took;
    for my $i (0 .. 49) {
        my $t = time;
        close $first[$i];
        is(receive($more[$i], 4), 'wait', 'a freed slot serves one that waits') or last;
        push @took, time - $t;
    }
    @took = sort { $a <=> $b } @took;
    cmp_ok($took[44] // 99, '<', 0.1, sprintf 'nine of ten freed slots are used within %.1f ms, each within %.1f', map { 1000 * $_ } @took[44, -1]);
    close $_ for @first[50 .. 99];
    half_close($_) for @more;
    $right = grep { receive_until_eof($_) =~ /^(?:wait)?$/ } @more;
    is($right, 500, 'each of the 500 is served in the end');
    close $_ for @more;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# $measure->() gives a p99 in ns, the same without the flood, and what to say of them. Another
# program that takes a processor for some ms is no fault of the server: of three tries, one must
# be below 10 ms, or below twice the p99 without the flood.
sub is_soon {
    my ($measure) = @_;
    my ($p99, $limit, $text);
    for my $try (1 .. 3) {
        ($p99, my $alone, $text) = $measure->();
        $limit = 2 * $alone > 10e6 ? 2 * $alone : 10e6;
        last if $p99 < $limit;
        note("try $try: $text");
    }
    return cmp_ok($p99, '<', $limit, "$text, below " . ms($limit));
}

# ---- a storm of connects beside steady clients ---------------------------------------------
group 'a storm of connects beside steady clients' => sub {
    # The server has a processor of its own, and the storm's client gives way to the steady one:
    # what is measured is the server's fairness, not the scheduler's.
    my $server = start_server(_wrap => [@raise, qw(taskset -c 1)]);
    my @steady = ([qw(taskset -c 0)], '--connections', 50, '--rate', 2000, '--duration', '2s');
    is_soon(sub {
        my $alone  = report_of(start_load($server, @steady));
        my $beside = start_load($server, @steady);
        my $storm  = start_load($server, [qw(taskset -c 0 nice -n 19)], '--connections', 100, '--reconnect', '--duration', '1500ms', '--source', '127.0.0.2,127.0.0.3,127.0.0.4');
        my ($storm_report, $report) = (report_of($storm), report_of($beside));
        is("$report->{code} $report->{lost}", '0 0', 'the steady clients lose nothing');
        cmp_ok($storm_report->{connects}, '>', 1000, "the storm made $storm_report->{connects} connects in 1.5 s");
        my ($p99, $alone_p99) = map { $_->{reply_raw}{p99_ns} } $report, $alone;
        return ($p99, $alone_p99, sprintf 'the p99 of the steady clients is %s, without a storm %s', ms($p99), ms($alone_p99));
    });
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# ---- one flooder, 100 pingers --------------------------------------------------------------
group 'one flooder, 100 pingers' => sub {
    my $server = start_server();
    is_soon(sub {
        my @pingers = ('--connections', 100, '--rate', 1000, '--duration', '1500ms');
        my $alone   = report_of(start_load($server, @pingers))->{reply_raw}{p99_ns};
        my $flooder = start_load($server, '--connections', 1, '--size', '1MiB', '--pipeline', 4, '--duration', '2500ms');
        sleep 0.3;
        my $report = report_of(start_load($server, @pingers));
        my $flood  = report_of($flooder);
        is("$report->{code} $report->{lost} $flood->{code} $flood->{lost}", '0 0 0 0', 'nobody loses anything');
        return ($report->{reply_raw}{p99_ns}, $alone, sprintf 'the pingers\' p99 is %s, %s alone, beside %d MB/s', ms($report->{reply_raw}{p99_ns}), ms($alone), $flood->{bytes_per_s} / 1e6);
    });
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# ---- peers that never read -----------------------------------------------------------------
group 'peers that never read' => sub {
    my $server = start_server(_wrap => \@raise);
    my $good   = connect_to($server->{port});
    echo_of($good, 'x' x 300_000);
    my $base  = rss_kib($server->{pid});
    my $deaf  = 100;
    my @never = map { connect_to($server->{port}) } 1 .. $deaf;
    my $sent  = send_unread((1 << 30) / $share, @never);
    my $more = rss_kib($server->{pid}) - $base;
    my $allowed = 16 * 1024 + 300;    # pending_memory, and pages that are touched in part
    cmp_ok($more, '<=', $allowed, sprintf '%d of them sent %d MB: %d KiB more are resident, allowed %d',
        $deaf, $sent / 1e6, $more, $allowed);
    is(echo_of($good, 'good'), 'good', 'another peer is served');
    reset_connection($_) for @never;
    close $good;
    is(stop_program($server), 0, 'SIGTERM: exit 0') or diag log_of($server);
};

# ---- byte drips ----------------------------------------------------------------------------
group 'a byte at a time' => sub {
    my $server = start_server();
    my $t      = time;
    my ($count) = check_bytes($server->{port}, connections => 50, bytes => 200, piece => 1, is_talking => 1, seconds => 20);
    is(verdicts_text($count), '50 whole', sprintf '50 peers: all is whole in %.1f s', time - $t);
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# ---- half-closes and resets by the thousand ------------------------------------------------
group 'half-closes and resets by the thousand' => sub {
    my $server = start_server('log-level' => 'info', _wrap => \@raise);
    my $good   = connect_to($server->{port});
    is(echo_of($good, 'x'), 'x', 'a peer that stays is served');
    my ($base, $right, $t) = (open_fds($server->{pid}), 0, time);
    for my $n (1 .. 10_000 / $share) {
        my $s = connect_to($server->{port}) or last;
        send_all($s, $n);
        half_close($s);
        $right++ if receive_until_eof($s) eq $n;
    }
    is($right, 10_000 / $share, sprintf '%d half-closes in %.1f s, each with its echo', 10_000 / $share, time - $t);
    ok(wait_for(sub { open_fds($server->{pid}) == $base }), 'no descriptor is left of the half-closes');
    my $wrong = 0;
    $t = time;
    my $resets = 100_000 / $share;
    for my $n (1 .. $resets) {
        my $s = connect_to($server->{port}) or next;
        syswrite $s, 'gone';
        reset_connection($s);
        $wrong++ if $n % 100 == 0 && echo_of($good, "after $n") ne "after $n";
    }
    is($wrong, 0, sprintf '%d resets in %.1f s: the peer that stays loses nothing', $resets, time - $t);
    ok(wait_for(sub { open_fds($server->{pid}) == $base }), 'no descriptor is left of the resets');
    close $good;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
};

# ---- peers that stop, or vanish ------------------------------------------------------------
group 'a peer stopped by SIGSTOP in mid-transfer' => sub {
    my $server = start_server('write-timeout' => '1500ms');
    # It reads with a small window, so that little fits between the two.
    my $pid = fork // die;
    if ($pid == 0) {
        socket my $s, AF_INET, SOCK_STREAM, 0;
        setsockopt $s, SOL_SOCKET, SO_RCVBUF, 4096;
        connect $s, pack_sockaddr_in($server->{port}, inet_aton('127.0.0.1')) or POSIX::_exit(1);
        IO::Handle::blocking($s, 0);
        alarm 20;
        my $block = 'z' x 262144;
        for (;;) { syswrite $s, $block; sysread $s, my $back, 262144 }
    }
    my $victim = $Echolab::running{$pid} = { pid => $pid };
    ok(wait_for_log($server, qr/connection 1 from/), 'it connects');
    sleep 0.5;
    kill 'STOP', $victim->{pid};
    my $t = time;
    ok(wait_for_log($server, qr/connection 1 (?:cut|closed)/), 'it is cut');
    my $took = time - $t;
    ok($took > 1.0 && $took < 4, sprintf 'it is cut after %.2f s (write_timeout 1.5 s)', $took);
    kill 'KILL', $victim->{pid};
    exit_of($victim, 10);
    is(stop_program($server), 1, 'SIGTERM: exit 1, as a connection was cut');
};
group 'a peer cut off by DROP' => sub { SKIP: {
    skip 'no iptables here', 5 if system('iptables -L -n >/dev/null 2>&1') != 0;
    my $server = start_server('write-timeout' => '1500ms');
    my $gone = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $server->{port}, LocalHost => '127.0.0.66') or die;
    my $good = connect_to($server->{port});
    is(echo_of($gone, 'here'), 'here', 'it is served before');
    system 'iptables -A INPUT -d 127.0.0.66 -j DROP';    # what the server sends never arrives
    send_all($gone, 'x' x 1000);
    my $t = time;
    ok(wait_for_log($server, qr/connection 1 (?:cut|closed)/), 'it is given up');
    cmp_ok(time - $t, '<', 6, sprintf 'it is given up after %.2f s (write_timeout 1.5 s)', time - $t);
    is(echo_of($good, 'still'), 'still', 'another peer is served');
    system 'iptables -F';
    close $_ for $good, $gone;
    is(stop_program($server), 0, 'SIGTERM: exit 0');
}};

# ---- few descriptors -----------------------------------------------------------------------
# (A dynamic linker, which the programs as shipped do not have, needs some itself.)
for my $limit ($Echolab::build eq 'build' ? (3, 5) : (), 8, 11, 12, 16, 20, 64, 1024) {
    my $server = start_program(["$Echolab::build/echo-server", '--port', 0], wrap => ['prlimit', "--nofile=$limit:$limit"]);
    my $port = wait_for(sub { log_of($server) =~ /listening on \S*:(\d+)/ ? $1 : defined exit_of($server, 0) ? 'ended' : 0 });
    if (($port // 'hangs') eq 'ended') {
        like(slurp($server->{err}) . log_of($server), qr/RLIMIT_NOFILE is $limit: too low|No file descriptors available|Too many open files/, "$limit descriptors: it says that they are too few");
        like(exit_of($server, 0), qr/^[12]$/, "$limit descriptors: exit 1, or 2 if the configuration could not be read");
    } else {
        my ($count) = check_bytes($port, connections => $limit > 30 ? 30 : $limit, seconds => 5);
        is(verdicts_text($count), ($limit > 30 ? 30 : $limit) . ' whole', "$limit descriptors: it serves $limit peers, in turn if need be");
        is(stop_program($server), 0, "$limit descriptors: SIGTERM, exit 0");
    }
}

done_testing;
