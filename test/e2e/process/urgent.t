#!/usr/bin/perl
# Urgent bytes (MSG_OOB; telnet's interrupt is one) are bytes like others: echoed in their place,
# and judged by the client, whichever side sends them.
use strict;
use warnings;
use JSON::PP;
use Socket qw(:all);
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use ByteChecker;

sub send_urgent { my ($socket, $bytes) = @_; return send $socket, $bytes, MSG_OOB }

# ---- the server ----------------------------------------------------------------------------
sub talk_urgently {
    my ($s) = @_;
    send_all($s, 'ab');
    send_urgent($s, 'c');
    send_all($s, 'def');
    is(receive($s, 6, 2), 'abcdef', 'an urgent byte between others comes back in its place');
    send_urgent($s, '!');
    is(receive($s, 1, 2), '!', 'one alone comes back');
    send_urgent($s, "$_ ") for 1 .. 9;
    is(receive($s, 18, 2), '1 2 3 4 5 6 7 8 9 ', 'nine in a row come back');
    send_all($s, 'end');
    send_urgent($s, '.');
    half_close($s);
    is(receive_until_eof($s, 2), 'end.', 'one as the last byte comes back, then the end of stream');
    close $s;
}
for my $workers (1, 2) {
    for my $memory ('16MiB', 0) {
        group "urgent bytes, workers = $workers, pending_memory = $memory" => sub {
            my $server = start_server(workers => $workers, 'pending-memory' => $memory, 'log-level' => 'debug');
            for my $host ('127.0.0.1', '::1') {
              SKIP: {
                    my $s = connect_to($server->{port}, host => $host) or skip "no $host here", 4;
                    group $host => sub { talk_urgently($s) };
                }
            }
            kill 'STOP', $server->{pid};
            my $early = connect_to($server->{port});
            send_all($early, 'be');
            send_urgent($early, 'f');
            send_all($early, 'ore');
            kill 'CONT', $server->{pid};
            is(receive($early, 6, 2), 'before', 'one sent before the connection was accepted comes back');
            close $early;
            is(stop_program($server), 0, 'exit 0');
            is(slurp($server->{err}), '', 'nothing on stderr');
        };
    }
}

# They notify by a signal.
group 'urgent bytes to idle connections' => sub {
    my $server = start_server();
    my $poke   = connect_to($server->{port});
    my @idle   = map { connect_to($server->{port}) } 1 .. 300;
    is(join('', map { echo_of($_, 'x') } @idle), 'x' x 300, '300 connections are served');
    for my $round (1 .. 3) {
        for (1 .. 6) { echo_of($poke, 'tick'); sleep 0.012 }
        send_urgent($_, 'u') for @idle;
        is(join('', map { receive($_, 1, 2) } @idle), 'u' x 300, "round $round: each is heard when all send one");
    }
    my $start = cpu_seconds($server->{pid});
    sleep 0.5;
    cmp_ok(cpu_seconds($server->{pid}) - $start, '<=', 0.02, 'nothing spins afterwards');
    close $_ for @idle, $poke;
    is(stop_program($server), 0, 'exit 0');
};

# In the second half of a drain all that was said is echoed: a read that ends before an urgent
# byte was not all. A talker that does not wait for its echo is kept so long; one that pauses for 100 ms
# in the first half, since this machine is busy, is ended there: then it is tried again.
sub drained_talker {
    my ($options) = @_;
    for my $try (1 .. 5) {
        my $server = start_server('drain-timeout' => '2s', %$options);
        my $talker = connect_to($server->{port});
        my ($said, $heard, $is_kept) = ('ping', echo_of($talker, 'ping'), 1);
        kill 'TERM', $server->{pid};
        my $t = time;
        while ($is_kept && time - $t < 0.95) {
            send_all($talker, 'ping');
            $said .= 'ping';
            sleep 0.001;
            my $is_there = defined recv $talker, my $bytes, 65536, MSG_DONTWAIT;
            $heard .= $bytes if $is_there;
            $is_kept = !$is_there || $bytes ne '';
        }
        kill 'STOP', $server->{pid};
        return ($server, $talker, $said, $heard) if $is_kept;
        kill 'CONT', $server->{pid};
        close $talker;
        exit_of($server, 3);
    }
    BAIL_OUT('no talker was kept for half of a drain in five tries');
}
for my $memory ('16MiB', 0) {
    group "an urgent byte late in a drain, pending_memory = $memory" => sub {
        my ($server, $talker, $said, $heard) = drained_talker({ 'pending-memory' => $memory });
        send_all($talker, 'said ');
        send_urgent($talker, 'be');
        send_all($talker, 'fore');
        sleep 0.08;
        kill 'CONT', $server->{pid};
        is($heard . receive_until_eof($talker, 3), "${said}said before", 'the bytes behind it are echoed, then comes the end');
        close $talker;
        is(exit_of($server, 3), 0, 'exit 0');
        unlike(log_of($server), qr/later ones not/, 'none was too late');
    };
}

# ---- the byte checker's mixes --------------------------------------------------------------
for my $memory ('16MiB', 0) {
    my $server = start_server('max-connections' => 200, 'pending-memory' => $memory);
    for my $mix ({ connections => 30, bytes => 3000, piece => 7 }, { connections => 8, bytes => 1_000_000, piece => 50_000, seconds => 20 },
        { connections => 30, bytes => 300, piece => 10, is_talking => 1 })
    {
        group "$mix->{connections} connections, pieces of $mix->{piece} bytes, pending_memory = $memory" => sub {
            my ($count, $all) = check_bytes($server->{port}, %$mix);
            is(verdicts_text($count), "$mix->{connections} whole", 'every byte comes back');
            my $urgent = 0;
            $urgent += $_->{urgent} for @$all;
            cmp_ok($urgent, '>', 10, "urgent ones were among them: $urgent");
        };
    }
    is(stop_program($server), 0, "pending_memory = $memory, after the mixes: exit 0");
}

# ---- the client ----------------------------------------------------------------------------
# A server that gives the bytes back in two pieces, of which the first ends in an urgent byte.
group 'a server that echoes with urgent bytes' => sub {
    my $odd = odd_server(sub {
        my ($s) = @_;
        setsockopt $s, SOL_SOCKET, SO_OOBINLINE, 1;
        while (sysread $s, my $bytes, 65536) {
            my $half = int(length($bytes) / 2) || 1;
            send_urgent($s, substr $bytes, 0, $half);
            send_all($s, substr $bytes, $half);
        }
    });
    my ($code, $out) = run_program(["$Echolab::build/echo-client", '--server-address', "127.0.0.1:$odd->{port}",
        '--count', 5, '--interval', '10ms', '--timeout', '1s']);
    is($code, 0, 'the loop: every byte is there, exit 0') or diag $out;
    for my $how (['--size', 64], ['--size', 30000], ['--size', 64, '--pipeline', 8]) {
        ($code, $out, my $err) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$odd->{port}", '--connections', 1,
            '--messages', 200, '--timeout', '2s', '--json', @$how], seconds => 20);
        is("$code $err", '0 ', "a load (@$how): exit 0");
        is((eval { decode_json($out) } // {})->{messages_echoed}, 200, "a load (@$how): every message is echoed");
    }
    kill 'KILL', $odd->{pid};
};
group 'a server that adds an urgent byte' => sub {
    my $odd = odd_server(sub { my ($s) = @_; sysread $s, my $bytes, 65536; send_urgent($s, '!'); send_all($s, $bytes); sleep 0.3 });
    my ($code, $out) = run_program(["$Echolab::build/echo-client", '--server-address', "127.0.0.1:$odd->{port}", '--once', '--timeout', '1s']);
    is($code, 6, 'the loop: exit 6');
    like($out, qr/differs: byte 0 is 0x21, expected 0x5b/, 'the loop: its place is told');
    ($code) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$odd->{port}", '--connections', 1,
        '--messages', 3, '--timeout', '1s', '--quiet'], seconds => 20);
    is($code, 6, 'a load: exit 6');
    kill 'KILL', $odd->{pid};
};

done_testing();
