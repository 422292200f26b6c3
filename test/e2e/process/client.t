#!/usr/bin/perl
# The client as a process: what it sends and logs, every kind of failure, its exit codes.
use strict;
use warnings;
use utf8;
use Encode qw(encode);
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);

sub client {
    my ($port, @arguments) = @_;
    my ($code, $out, $err) = run_program(["$Echolab::build/echo-client", '--server-address',
        $port =~ /:/ ? $port : "127.0.0.1:$port", @arguments]);
    utf8::decode($out);
    is($err, '', 'nothing on stderr');
    return ($code, $out);
}

my @once = ('--loop-lapse', '1ms', '--timeout', '500ms');

# ---- the exercise's loop -----------------------------------------------------------------
group 'the loop' => sub {
    my $server = start_server('log-level' => 'debug');
    my $t      = time;
    my ($code, $out) = client($server->{port}, '--id', 'seven', '--loop-lapse', '1s',
        '--loop-period', '400ms');
    is($code, 0, 'every message echoed: exit 0');
    my $took = time - $t;
    ok($took >= 1 && $took < 3, 'it ends when loop_lapse has passed') or diag $took;
    my @replies = $out =~ /INFO  \[CLIENT seven\] Message from server: \[CLIENT seven\] Message N°(\d+) sent$/mg;
    is("@replies", '1 2 3', 'a message per period, numbered, each reply logged');
    my $times = qr/reply min\/mean\/max = \d+\.\d{3}\/\d+\.\d{3}\/\d+\.\d{3} ms/;
    like($out, qr/\[CLIENT seven\] 3 sent, 3 echoed, 0 lost, $times\n\z/, 'the summary has counts and times, in one line, the last one');
    unlike($out, qr/rtt|avg|p50|self-pipe/, '... no other line of latencies, no other word for them, nothing about our own pipes');
    my $log = log_of($server);
    utf8::decode($log);
    like($log, qr/sent \d+ bytes: \[CLIENT seven\] Message N°1 sent\\n$/m,
        'the message on the wire is the exercise\'s');
    ($code, $out) = client("localhost:$server->{port}", @once);
    is($code, 0, 'a name is resolved: exit 0');
    ($code, $out) = client("[::1]:$server->{port}", @once);
    is($code, 0, 'an IPv6 address in brackets: exit 0');
    my @many = ('--loop-period', '0s', '--count');
    ($code, $out) = client($server->{port}, @many, 99);
    is(scalar(() = $out =~ /p50/g), 0, '99 messages: no percentiles');
    ($code, $out) = client($server->{port}, @many, 100);
    like($out, qr/\[CLIENT 1\] 100 sent, 100 echoed, 0 lost, $times$/m, '100 messages: the summary');
    like($out, qr/\[CLIENT 1\] $_: min \S+s, p50 \S+s, p90 \S+s, p99 \S+s, p99.9 \S+s, p99.99 \S+s, max \S+s, mean \S+s$/m,
        "... and the distribution of: $_") for 'connect', 'first byte', 'reply';
    ($code, $out) = client($server->{port}, @once, '--log-level', 'debug');
    like($out, qr/DEBUG \[CLIENT 1\] self-pipe closed$/m, 'our own pipe is told at debug');
    is(stop_program($server), 0, 'SIGTERM ends the server with 0');
};

# ---- every kind of failure ---------------------------------------------------------------
my $flip = sub {
    my ($s) = @_;
    my $line = readline $s;
    substr($line, 9, 1) ^= "\x01";
    syswrite $s, $line;
    sleep 0.2;
};
my %failures = (
    'a flipped bit'  => [6, qr/differs: byte 9 is 0x[0-9a-f]{2}, expected 0x[0-9a-f]{2}$/m, $flip],
    'a longer reply' => [6, qr/differs: it goes on behind the 29 bytes sent$/m,
        sub { my ($s) = @_; my $l = readline $s; syswrite $s, "$l!"; sleep 0.2 }],
    'a short reply'  => [7, qr/closed early: 20 of 29 bytes came back$/m,
        sub { my ($s) = @_; my $l = readline $s; syswrite $s, substr $l, 0, 20 }],
    'no reply, closed' => [7, qr/closed early: 0 of 29 bytes came back$/m,
        sub { my ($s) = @_; readline $s }],
    'a reset'        => [7, qr/reset: Connection reset/m,
        sub { my ($s) = @_; readline $s; reset_connection($s) }],
    'silence'        => [5, qr/timed out: 0 of 29 bytes came back$/m,
        sub { my ($s) = @_; readline $s; sleep 2 }],
    'half a reply, then silence' => [5, qr/timed out: 10 of 29 bytes came back$/m,
        sub { my ($s) = @_; my $l = readline $s; syswrite $s, substr $l, 0, 10; sleep 2 }],
);
for my $name (sort keys %failures) {
    my ($expected, $line, $behave) = @{ $failures{$name} };
    group $name => sub {
        my $odd = odd_server($behave);
        my ($code, $out) = client($odd->{port}, @once);
        is($code, $expected, "exit $expected");
        like($out, $line, 'the log says what came');
        like($out, qr/1 sent, 0 echoed, 1 lost \(1 [a-z ]+\)$/m, 'the summary counts it');
        kill 'KILL', $odd->{pid};
    };
}
group 'nobody listens' => sub {
    my ($code, $out) = client(free_port(), @once);
    is($code, 4, 'exit 4');
    like($out, qr/refused: Connection refused/, 'the log says refused');
};
group 'a name without address' => sub {
    my ($code, $out) = client('no-such-host.invalid:7', @once);
    is($code, 3, 'exit 3');
    like($out, qr/no-such-host\.invalid:7 not resolved: \S/, 'the log says that it is not resolved, and why');
    unlike($out, qr/container/, 'a name with a dot is none of a container');
    for my $way (['the loop', '--count', 1, '--server-address', 'no-such-container:7'], ['a load', '--load', 'no-such-container:7']) {
        my ($what, @to) = @$way;
        ($code, $out, my $err) = run_program(["$Echolab::build/echo-client", @to, '--timeout', '500ms']);
        is($code, 3, "a name without a dot, $what: exit 3");
        like("$out$err", qr/no-such-container:7 not resolved: \S.*; a container of this name may be stopped or disconnected$/m, '... and what the reason may be');
    }
};
group 'no answer to connecting' => sub {
    # A full accept queue drops the SYN: connecting times out.
    my $full = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
    my @fill = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $full->sockport,
        Blocking => 0) } 1 .. 8;
    my ($code, $out) = client($full->sockport, @once);
    is($code, 5, 'exit 5');
    like($out, qr/timed out: no connection/, 'the log says timed out');
};
group 'several kinds of failure' => sub {
    # Two of three messages differ, one is closed early.
    my $n = 0;
    my $odd = odd_server(sub { my ($s) = @_; $n++ == 1 ? readline $s : $flip->($s) });
    my ($code, $out) = client($odd->{port}, '--count', 3, '--interval', '10ms');
    is($code, 6, 'the most frequent decides the exit code');
    like($out, qr/lost \(2 differs, 1 closed early\)$/m, 'each is counted');
    kill 'KILL', $odd->{pid};
};

# ---- a server that answers something else ------------------------------------------------
group 'verify = no, a reply of another text' => sub {
    my $odd = odd_server(sub {
        my ($s) = @_;
        my $l = readline $s;
        chomp $l;
        syswrite $s, "Your Message has been received: ";
        sleep 0.1;
        syswrite $s, "b'$l'\n";
        sleep 1;
    });
    my ($code, $out) = client($odd->{port}, @once, '--verify', 'no');
    is($code, 0, 'exit 0, as a reply ends at its newline');
    like($out, qr/Message from server: Your Message has been received: b'\[CLIENT 1\] Message N°1 sent'$/m,
        'the reply is logged whole');
    kill 'KILL', $odd->{pid};
};

# ---- what is expected --------------------------------------------------------------------
group 'expected' => sub {
    my $server = start_server();
    my $nobody = free_port();
    my %odd    = (
        reset   => odd_server($failures{'a reset'}[2]),
        closed  => odd_server($failures{'a short reply'}[2]),
        differs => odd_server($flip),
        timeout => odd_server($failures{'silence'}[2]),
    );
    my %to   = (echo => $server->{port}, refused => $nobody, 'not-resolved' => 'no-such-host.invalid:7', map { $_ => $odd{$_}{port} } keys %odd);
    my %name = (echo => 'echoed', timeout => 'timed out', 'not-resolved' => 'not resolved', closed => 'closed early', map { $_ => $_ } qw(refused reset differs));
    for my $seen (sort keys %to) {
        my ($code, $out) = client($to{$seen}, @once, '--expect', $seen);
        is($code, 0, "$seen, and so it is: exit 0");
        like($out, qr/ INFO  \[CLIENT 1\] expected $seen, seen: 1 $name{$seen}$/m, "$seen, and so it is: one line says it");
        unlike($out, qr/ ERROR /, "$seen, and so it is: no line is an error");
        my $wanted = $seen eq 'refused' ? 'timeout' : 'refused';
        ($code, $out) = client($to{$seen}, @once, '--expect', $wanted);
        is($code, 9, "$wanted, but it is $seen: exit 9");
        like($out, qr/ ERROR \[CLIENT 1\] expected $wanted, seen: 1 $name{$seen}$/m, "$wanted, but it is $seen: one line says it");
    }
    my ($code, $out) = client($server->{port}, '--count', 3, '--interval', '10ms', '--expect', 'echo');
    is($code, 0, 'echo, and three were echoed: exit 0');
    like($out, qr/seen: 3 echoed$/m, 'echo, and three were echoed: all are told');
    my $n   = 0;
    my $odd = odd_server(sub { my ($s) = @_; $n++ == 1 ? reset_connection($s) : readline $s });
    ($code, $out) = client($odd->{port}, '--count', 3, '--interval', '10ms', '--expect', 'closed');
    is($code, 9, 'closed, but one of three was reset: exit 9');
    like($out, qr/expected closed, seen: 2 closed early, 1 reset$/m, 'closed, but one of three was reset: both are told');
    my $err;
    ($code, $out, $err) = run_program(["$Echolab::build/echo-client", "127.0.0.1:$nobody", '--once'], env => { CLI_EXPECT => 'refused' });
    is("$code $err", '0 ', 'the variable CLI_EXPECT says it, too');
    my $client = start_program(["$Echolab::build/echo-client", "127.0.0.1:$odd{timeout}{port}", '--timeout', '20s', '--expect', 'timeout']);
    wait_for_handler($client);
    sleep 0.2;
    kill 'TERM', $client->{pid};
    is(exit_of($client), 9, 'ended by a signal before anything was seen: exit 9');
    like(log_of($client), qr/ERROR .*expected timeout, seen: 1 interrupted$/m, 'ended by a signal before anything was seen: the line says so');
    $client = start_program(["$Echolab::build/echo-client", "127.0.0.1:$nobody", '--loop-period', '20s', '--expect', 'refused']);
    ok(wait_for_log($client, qr/INFO .*refused: /), 'a loop: what is expected is no error in the log');
    kill 'TERM', $client->{pid};
    is(exit_of($client), 0, 'ended by a signal when all was as expected: exit 0');
    kill 'KILL', $_->{pid} for values %odd, $odd;
    stop_program($server);
};

# ---- told to stop ------------------------------------------------------------------------
{
    my $odd = odd_server(sub { my ($s) = @_; readline $s; sleep 20 });
    my @moments = ('a reply that does not come', 'the pause');
    # musl asks by sendto(), which strace can fake; glibc, under ASan, does not.
    push @moments, 'a name server that does not answer' if $Echolab::build eq 'build';
    for my $when (@moments) {
        my %how;
        my @to = ('--server-address', "127.0.0.1:$odd->{port}");
        my $server;
        if ($when =~ /pause/) {
            $server = start_server();
            @to = ('--server-address', "127.0.0.1:$server->{port}");
        } elsif ($when =~ /name server/) {
            @to  = ('--server-address', 'name.invalid:7');
            # Look-ups wait in poll() of their thread for an answer to a question never sent.
            %how = (wrap => ['strace', '-f', '-o', '/dev/null', '-e',
                'inject=sendto:retval=40']);
        }
        my $client = start_program(["$Echolab::build/echo-client", @to, '--timeout', '20s', '--loop-period', '20s'], %how);
        sleep 0.5;
        wait_for_log($client, qr/Message from server/) if $when =~ /pause/;
        my $t = time;
        my ($child) = `pgrep -P $client->{pid}` =~ /(\d+)/;
        kill 'TERM', $how{wrap} ? $child : $client->{pid};
        my $code = $when =~ /pause/ ? 0 : 1;    # nothing was compared
        is(exit_of($client), $code, "SIGTERM during $when: exit $code");
        cmp_ok(time - $t, '<', 3, "SIGTERM during $when: it ends at once");
        like(log_of($client), qr/SIGTERM: stopping\n.*1 sent, .* 0 lost/,
            "SIGTERM during $when: the summary counts nothing as lost");
        stop_program($server) if $server;
    }
    kill 'KILL', $odd->{pid};
}

# ---- the server goes and comes back ------------------------------------------------------
group 'the server goes and comes back' => sub {
    my $server = start_server();
    my $client = start_program(["$Echolab::build/echo-client", '--server-address',
        "127.0.0.1:$server->{port}", '--loop-period', '50ms', '--loop-lapse', '0s']);
    ok(wait_for_log($client, qr/Message from server/), 'messages are echoed at first');
    stop_program($server);
    ok(wait_for_log($client, qr/refused/), 'while the server is gone: refused, and the loop goes on');
    my $again = start_server(port => $server->{port});
    my $before = () = log_of($client) =~ /from server/g;
    ok(wait_for(sub { my $n = () = log_of($client) =~ /from server/g; $n > $before }),
        'once the server is back messages are echoed again');
    my $code = stop_program($client);
    like(log_of($client), qr/sent, \d+ echoed, [1-9]\d* lost \(/, 'both are in the summary: messages echoed and lost');
    ok($code == 4 || $code == 7, 'the exit code says that messages were lost');
    stop_program($again);
};

done_testing();
