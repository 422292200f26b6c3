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
{
    my $server = start_server('log-level' => 'debug');
    my $t      = time;
    my ($code, $out) = client($server->{port}, '--id', 'seven', '--loop-lapse', '1s',
        '--loop-period', '300ms');
    is($code, 0, 'every message echoed: exit 0');
    cmp_ok(abs(time - $t - 1), '<', 0.2, 'it ends when loop_lapse has passed');
    my @replies = $out =~ /INFO  \[CLIENT seven\] Message from server: \[CLIENT seven\] Message N°(\d+) sent$/mg;
    is("@replies", '1 2 3 4', 'a message per period, numbered, each reply logged');
    like($out, qr/\[CLIENT seven\] 4 sent, 4 echoed, 0 lost, rtt min\/avg\/max = \d+\.\d{3}\/\d+\.\d{3}\/\d+\.\d{3} ms$/m,
        'a summary');
    like($out, qr/\[CLIENT seven\] $_: min \S+s, p50 \S+s, p90 \S+s, p99 \S+s, p99.9 \S+s, p99.99 \S+s, max \S+s, mean \S+s$/m,
        "... and the distribution of: $_") for 'connect', 'first byte', 'reply';
    my $log = log_of($server);
    utf8::decode($log);
    like($log, qr/sent \d+ bytes: \[CLIENT seven\] Message N°1 sent\\n$/m,
        'the message on the wire is the exercise\'s');
    ($code, $out) = client("localhost:$server->{port}", @once);
    is($code, 0, 'a name is resolved');
    ($code, $out) = client("[::1]:$server->{port}", @once);
    is($code, 0, 'an IPv6 address in brackets');
    is(stop_program($server), 0, 'the server ends with 0');
}

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
    my $odd = odd_server($behave);
    my ($code, $out) = client($odd->{port}, @once);
    is($code, $expected, "$name: exit $expected");
    like($out, $line, '... the log says what');
    like($out, qr/1 sent, 0 echoed, 1 lost \(1 [a-z ]+\)$/m, '... the summary counts it');
    kill 'KILL', $odd->{pid};
}
{
    my $closed = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
    my $port   = $closed->sockport;
    close $closed;
    my ($code, $out) = client($port, @once);
    is($code, 4, 'nobody listens: exit 4');
    like($out, qr/refused: Connection refused/, '... refused');

    ($code, $out) = client('no-such-host.invalid:7', @once);
    is($code, 3, 'a name without address: exit 3');
    like($out, qr/no-such-host\.invalid:7 not resolved: \S/, '... not resolved, and why');
}
{   # A full accept queue drops the SYN: connecting times out.
    my $full = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
    my @fill = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $full->sockport,
        Blocking => 0) } 1 .. 8;
    my ($code, $out) = client($full->sockport, @once);
    is($code, 5, 'no answer to connecting: exit 5');
    like($out, qr/timed out: no connection/, '... timed out');
}
{   # Two of three messages differ, one is closed early.
    my $n = 0;
    my $odd = odd_server(sub { my ($s) = @_; $n++ == 1 ? readline $s : $flip->($s) });
    my ($code, $out) = client($odd->{port}, '--loop-lapse', '550ms', '--loop-period', '100ms');
    is($code, 6, 'several kinds: the most frequent decides the exit code');
    like($out, qr/lost \(\d differs, 1 closed early\)$/m, '... and each is counted');
    kill 'KILL', $odd->{pid};
}

# ---- a server that answers something else ------------------------------------------------
{
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
    is($code, 0, 'verify = no: a reply ends at its newline');
    like($out, qr/Message from server: Your Message has been received: b'\[CLIENT 1\] Message N°1 sent'$/m,
        '... and is logged whole');
    kill 'KILL', $odd->{pid};
}

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
        my $client = start_program(["$Echolab::build/echo-client", @to, '--timeout', '10s'], %how);
        sleep 0.5;
        my $t = time;
        my ($child) = `pgrep -P $client->{pid}` =~ /(\d+)/;
        kill 'TERM', $how{wrap} ? $child : $client->{pid};
        is(exit_of($client, 3), 0, "SIGTERM during $when: exit 0");
        cmp_ok(time - $t, '<', 0.5, '... at once');
        like(log_of($client), qr/SIGTERM: stopping\n.*self-pipe closed\n.*1 sent, .* 0 lost/,
            '... with its summary, and nothing counted as lost');
        stop_program($server) if $server;
    }
    kill 'KILL', $odd->{pid};
}

# ---- the server goes and comes back ------------------------------------------------------
{
    my $server = start_server();
    my $client = start_program(["$Echolab::build/echo-client", '--server-address',
        "127.0.0.1:$server->{port}", '--loop-period', '50ms', '--loop-lapse', '3s']);
    ok(wait_for_log($client, qr/Message from server/), 'messages go');
    stop_program($server);
    ok(wait_for_log($client, qr/refused/), 'the server is gone: refused, and the loop goes on');
    my $again = start_server(port => $server->{port});
    my $before = () = log_of($client) =~ /from server/g;
    ok(wait_for(sub { my $n = () = log_of($client) =~ /from server/g; $n > $before }),
        'the server is back: so are the echoes');
    my $code = exit_of($client, 6);
    like(log_of($client), qr/sent, \d+ echoed, [1-9]\d* lost \(/, 'both are in the summary');
    ok($code == 4 || $code == 7, 'a lost message is in the exit code');
    stop_program($again);
}

done_testing();
