#!/usr/bin/perl
# How the server stops: nothing that was sent before is lost, every close is logged, in time.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

for my $signal ('TERM', 'INT') {
    my $server = start_server();
    my $t      = time;
    kill $signal, $server->{pid};
    is(exit_of($server), 0, "SIG$signal, an idle server: exit 0");
    cmp_ok(time - $t, '<', 3, "SIG$signal, an idle server: it ends at once, not after drain_timeout");
    like(log_of($server), qr/SIG$signal: stopping.*\n.*listener on \[::\]:\d+ closed\n.*stopped: 0 connections/,
        "SIG$signal, an idle server: signal, listener and end are logged");
    unlike(log_of($server), qr/self-pipe/, "SIG$signal, an idle server: its own pipe is none of the reader's business");
}

group 'SIGTERM, 20 idle connections' => sub {
    my $server = start_server();
    my @idle   = map { connect_to($server->{port}) } 1 .. 20;
    ok(wait_for_log($server, qr/connection 20 from/), 'they are accepted');
    kill 'TERM', $server->{pid};
    is(receive_until_eof($_), '', 'each peer is sent the end of stream') for @idle;
    close $_ for @idle;
    is(exit_of($server, 3), 0, 'exit 0 once they closed');
    my @closed = log_of($server) =~ /connection \d+ closed/g;
    is(scalar @closed, 20, '20 closes are logged');
};

group 'SIGTERM in mid-transfer' => sub {
    my $server = start_server();
    my $sender = connect_to($server->{port});
    my $bytes  = join '', map { pack 'N', $_ } 1 .. 500_000;
    my $pid    = fork;
    if ($pid == 0) { send_all($sender, $bytes); half_close($sender); POSIX::_exit(0) }
    ok(wait_for(sub { log_of($server) =~ /connection 1 from/ }), 'the transfer begins');
    kill 'TERM', $server->{pid};
    my $got = '';
    while (length $got < length $bytes) {    # slowly
        my $piece = receive($sender, 200_000, 2);
        last if $piece eq '';
        $got .= $piece;
        sleep 0.05;
    }
    waitpid $pid, 0;
    ok($got eq $bytes, '2 MB come back whole to a slow reader');
    close $sender;
    is(exit_of($server, 5), 0, 'exit 0');
};

group 'SIGTERM, 30 connections in the backlog' => sub {
    my $server = start_server('max-connections' => 100);
    kill 'STOP', $server->{pid};
    my @queued = queue_connections($server->{port}, 30);
    kill 'TERM', $server->{pid};
    kill 'CONT', $server->{pid};
    is(count_served(@queued), 30, 'those that wait in the backlog are accepted and served');
    is(exit_of($server, 5), 0, 'exit 0');
};

group 'SIGTERM, table full' => sub {
    my $server = start_server('max-connections' => 3);
    my @in     = map { connect_to($server->{port}) } 1 .. 3;
    is(echo_of($_, 'x'), 'x', 'one of three fills a slot') for @in;
    my @queued = queue_connections($server->{port}, 20);
    kill 'TERM', $server->{pid};
    is(count_served(@queued), 20, 'those that wait in the backlog are served all the same');
    close $_ for @in;
    is(exit_of($server, 5), 0, 'exit 0');
};

group 'SIGTERM, a peer that never reads' => sub {
    my $server = start_server('drain-timeout' => '500ms');
    my $stuck  = connect_to($server->{port});
    $stuck->blocking(0);
    for (1 .. 400) { sleep 0.002 if !defined syswrite $stuck, 'z' x 65536 }
    my $t = time;
    kill 'TERM', $server->{pid};
    is(exit_of($server, 5), 1, 'it is cut at the deadline: exit 1');
    my $took = time - $t;
    cmp_ok($took, '>', 0.45, 'it is not cut before the deadline');
    cmp_ok($took, '<', 3,    'it is cut soon after the deadline');
    like(log_of($server), qr/WARN  connection 1 cut: drain timeout, [1-9]\d* bytes pending, [1-9]\d* not acknowledged/,
        'the cut is logged with what was pending');
    like(log_of($server), qr/stopped: 1 connection, \d+ bytes echoed, 1 cut/, 'the cut is counted');
};

group 'SIGTERM twice' => sub {
    my $server = start_server('drain-timeout' => '30s');
    my $open   = connect_to($server->{port});
    is(echo_of($open, 'x'), 'x', 'a connection is served before');
    kill 'TERM', $server->{pid};
    ok(wait_for_log($server, qr/SIGTERM: stopping, 1 connection has 30s to end/), 'the first one is logged with its deadline');
    ok(!connect_to($server->{port}), 'after the first one no further connection is taken');
    my $t = time;
    kill 'TERM', $server->{pid};
    is(exit_of($server), 1, 'the second one cuts: exit 1');
    cmp_ok(time - $t, '<', 5, 'the second one cuts at once');
    like(log_of($server), qr/SIGTERM again: cutting 1 connection$/m, 'the second one is logged');
};

group 'SIGTERM, drain_timeout = 0' => sub {
    my $server = start_server('drain-timeout' => 0);
    my $open   = connect_to($server->{port});
    is(echo_of($open, 'x'), 'x', 'a connection is served before');
    is(stop_program($server, 2), 1, 'it is cut at once: exit 1');
};

# A peer that waits for each echo before it goes on: after the quiet time it gets the rest of an
# echo together with the end of stream, so that it can see the end before it sends again.
group 'SIGTERM, a peer that waits for its echo' => sub {
    for my $size (1, 64, 300_000) {
        my $server  = start_server('drain-timeout' => '8s');
        my $talker  = connect_to($server->{port});
        my $message = 'm' x $size;
        my ($rounds, $reply, $t) = (0, $message);
        while ($reply eq $message && $rounds < 1e6) {
            kill 'TERM', $server->{pid} if ++$rounds == 20;
            $t = time if $rounds == 20;
            send_all($talker, $message);
            $reply = receive($talker, $size, 5);
            $talker->blocking(0);
            my $more = sysread $talker, my $byte, 1;
            $talker->blocking(1);
            last if defined $more && $more == 0;    # the end came with the echo
        }
        is(length $reply, $size, "$size bytes: the last echo is whole");
        cmp_ok(time - $t, '<', 3, "$size bytes: the end comes with an echo, before half of the time");
        unlike(log_of($server), qr/later bytes not/, "$size bytes: nothing came too late");
        close $talker;
        is(exit_of($server, 5), 0, "$size bytes: exit 0");
    }
};

# Peers that send on and on: they are ended in the second half of the drain. One that is silent for
# 100 ms in the first half, since this machine is busy, is ended there: then it is tried again.
group 'SIGTERM, a peer that never stops talking' => sub {
    my $until;
    for my $try (1 .. 5) {
        my $server = start_server('drain-timeout' => '2s');
        my $talker = connect_to($server->{port});
        is(echo_of($talker, 'ping'), 'ping', 'it is served before');
        kill 'TERM', $server->{pid};
        my ($t, $sent, $got) = (time, 0, 0);
        $talker->blocking(0);
        while (time - $t < 5) {
            $sent += 4 if $sent - $got < 400 && syswrite $talker, 'ping';
            my $n = sysread $talker, my $bytes, 4096;
            last if defined $n && $n == 0;
            $got += $n // 0;
            sleep 0.005;
        }
        $until = time - $t;
        close $talker;
        is(exit_of($server), 0, 'it is ended before the deadline, not cut: exit 0');
        last if $until > 0.8;
    }
    cmp_ok($until, '>', 0.8, 'it is not ended in the first half of the time');
    cmp_ok($until, '<', 5,   'it is ended');
};

# The log's reader is gone, or never reads.
group 'a log that is not read' => sub {
    pipe my $read, my $write or die;
    my $server = start_server(_stdout => $write, 'log-level' => 'debug', port => 0,
        address => '127.0.0.1');
    my $port;
    while (!$port && defined(my $line = readline $read)) { ($port) = $line =~ /listening on \S*:(\d+)/ }
    my $s = connect_to($port);
    my $good = 1;
    for (1 .. 3000) { $good &&= echo_of($s, 'x' x 100) eq 'x' x 100 }
    ok($good, '3000 messages at debug while nobody reads it: every one is echoed');
    sysread $read, my $rest, 1 << 20;    # now somebody does
    echo_of($s, 'x');
    my $line_read;
    for (1 .. 1000) { $line_read = readline $read; last if $line_read =~ /dropped/ }
    like($line_read, qr/WARN  \d+ log lines? dropped/, 'the lines dropped are counted');
    close $read;
    is(echo_of($s, 'still'), 'still', 'its reader is gone: the echo goes on');
    close $s;
    is(stop_program($server), 0, 'its reader is gone: SIGTERM, exit 0');
};

done_testing();
