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
    is(exit_of($server), 0, "SIG$signal: an idle server exits with 0");
    cmp_ok(time - $t, '<', 1, '... within a second');
    like(log_of($server), qr/SIG$signal: stopping.*\n.*listener on \[::\]:\d+ closed\n.*self-pipe closed\n.*stopped: 0 connections/,
        '... and logs the signal, the listener and the end');
}

{
    my $server = start_server();
    my @idle   = map { connect_to($server->{port}) } 1 .. 20;
    ok(wait_for_log($server, qr/connection 20 from/), '20 idle connections');
    kill 'TERM', $server->{pid};
    is(receive_until_eof($_), '', 'an idle peer is sent the end of stream') for @idle;
    close $_ for @idle;
    is(exit_of($server, 3), 0, 'once they closed, it exits with 0');
    my @closed = log_of($server) =~ /connection \d+ closed/g;
    is(scalar @closed, 20, '20 closes are logged');
}

{
    my $server = start_server();
    my $sender = connect_to($server->{port});
    my $bytes  = join '', map { pack 'N', $_ } 1 .. 500_000;
    my $pid    = fork;
    if ($pid == 0) { send_all($sender, $bytes); half_close($sender); POSIX::_exit(0) }
    ok(wait_for(sub { log_of($server) =~ /connection 1 from/ }), 'a transfer begins');
    kill 'TERM', $server->{pid};
    my $got = '';
    while (length $got < length $bytes) {    # slowly
        my $piece = receive($sender, 200_000, 2);
        last if $piece eq '';
        $got .= $piece;
        sleep 0.05;
    }
    waitpid $pid, 0;
    ok($got eq $bytes, 'SIGTERM in mid-transfer: 2 MB come back whole to a slow reader');
    close $sender;
    is(exit_of($server, 5), 0, '... exit 0');
}

{
    my $server = start_server('max-connections' => 100);
    kill 'STOP', $server->{pid};
    my @queued = map { connect_to($server->{port}) } 1 .. 30;
    send_all($queued[$_], "queued $_") for 0 .. 29;
    half_close($_) for @queued;
    kill 'TERM', $server->{pid};
    kill 'CONT', $server->{pid};
    my $right = grep { receive_until_eof($queued[$_]) eq "queued $_" } 0 .. 29;
    is($right, 30, 'connections waiting in the backlog at SIGTERM are accepted and served');
    is(exit_of($server, 5), 0, '... exit 0');
}

{
    my $server = start_server('max-connections' => 3);
    my @in     = map { connect_to($server->{port}) } 1 .. 3;
    is(echo_of($_, 'x'), 'x', 'a full table') for @in;
    my @queued = map { connect_to($server->{port}) } 1 .. 20;
    send_all($queued[$_], "queued $_") for 0 .. 19;
    half_close($_) for @queued;
    kill 'TERM', $server->{pid};
    my $right = grep { receive_until_eof($queued[$_]) eq "queued $_" } 0 .. 19;
    is($right, 20, '... at SIGTERM those that wait in the backlog are served all the same');
    close $_ for @in;
    is(exit_of($server, 5), 0, '... exit 0');
}

{
    my $server = start_server('drain-timeout' => '500ms');
    my $stuck  = connect_to($server->{port});
    $stuck->blocking(0);
    for (1 .. 400) { sleep 0.002 if !defined syswrite $stuck, 'z' x 65536 }
    my $t = time;
    kill 'TERM', $server->{pid};
    is(exit_of($server, 5), 1, 'a peer that never reads: cut at the deadline, exit 1');
    my $took = time - $t;
    cmp_ok($took, '>', 0.45, '... not before it');
    cmp_ok($took, '<', 0.8,  '... nor long after');
    like(log_of($server), qr/WARN  connection 1 cut: drain timeout, [1-9]\d* bytes pending, [1-9]\d* not acknowledged/,
        '... logged with what was pending');
    like(log_of($server), qr/stopped: 1 connections, \d+ bytes echoed, 1 cut/, '... and counted');
}

{
    my $server = start_server('drain-timeout' => '30s');
    my $open   = connect_to($server->{port});
    is(echo_of($open, 'x'), 'x', 'a connection');
    kill 'TERM', $server->{pid};
    ok(wait_for_log($server, qr/SIGTERM: stopping, 1 connections have 30s to end/), 'draining');
    ok(!connect_to($server->{port}), 'no further connection is taken');
    my $t = time;
    kill 'TERM', $server->{pid};
    is(exit_of($server, 5), 1, 'a second signal cuts at once: exit 1');
    cmp_ok(time - $t, '<', 0.5, '... at once');
    like(log_of($server), qr/SIGTERM again: cutting 1 connections/, '... and says so');
}

{
    my $server = start_server('drain-timeout' => 0);
    my $open   = connect_to($server->{port});
    is(echo_of($open, 'x'), 'x', 'a connection');
    is(stop_program($server, 2), 1, 'drain_timeout = 0 cuts at once');
}

# Persistent clients that never stop talking: they are ended in the second half of the drain.
{
    my $server = start_server('drain-timeout' => '1s');
    my $talker = connect_to($server->{port});
    is(echo_of($talker, 'ping'), 'ping', 'a talker');
    kill 'TERM', $server->{pid};
    my $t = time;
    while (time - $t < 3 && echo_of($talker, 'ping') eq 'ping') { }
    my $until = time - $t;
    close $talker;
    is(exit_of($server, 3), 0, 'one that never stops talking is ended, exit 0');
    cmp_ok($until, '<', 0.9, '... before the deadline');
    cmp_ok($until, '>', 0.4, '... but not in the first half');
}

# The log's reader is gone, or never reads.
{
    pipe my $read, my $write or die;
    my $server = start_server(_stdout => $write, 'log-level' => 'debug', port => 0,
        address => '127.0.0.1');
    my $port;
    while (!$port && defined(my $line = readline $read)) { ($port) = $line =~ /listening on \S*:(\d+)/ }
    my $s = connect_to($port);
    my $good = 1;
    for (1 .. 3000) { $good &&= echo_of($s, 'x' x 100) eq 'x' x 100 }
    ok($good, '3000 messages at debug while nobody reads the log: every one is echoed');
    sysread $read, my $rest, 1 << 20;    # now somebody does
    echo_of($s, 'x');
    my $line_read;
    for (1 .. 1000) { $line_read = readline $read; last if $line_read =~ /dropped/ }
    like($line_read, qr/WARN  \d+ log lines dropped/, '... and the lines dropped are counted');
    close $read;
    is(echo_of($s, 'still'), 'still', 'the reader of the log is gone: the echo goes on');
    close $s;
    is(stop_program($server), 0, '... exit 0');
}

done_testing();
