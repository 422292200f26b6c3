#!/usr/bin/perl
# The client's load mode: what it counts and measures, every fault it must catch, its report.
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use Socket qw(TCP_NODELAY IPPROTO_TCP);
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

my $is_plain = $Echolab::build eq 'build';    # as shipped, without sanitizers
my $size     = 64;

# An echo server that calls $fault->(number, message, socket) for each message of 64 bytes,
# numbered from 1, and sends what that returns; undef: it did all by itself.
# With $keeps_open it does not close when the client half-closes.
sub faulty_server {
    my ($fault, $keeps_open) = @_;
    my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die;
    my $pid = fork // die;
    if ($pid == 0) {
        alarm 60;
        $SIG{PIPE} = 'IGNORE';
        my $select = IO::Select->new($listener);
        my (%buffer, $number, @kept);
        while (1) {
            for my $s ($select->can_read) {
                if ($s == $listener) {
                    my $new = $listener->accept or next;
                    setsockopt $new, IPPROTO_TCP, TCP_NODELAY, 1;
                    $select->add($new);
                    $buffer{$new} = '';
                    next;
                }
                my $n = sysread $s, $buffer{$s}, 65536, length $buffer{$s};
                my $is_over = !$n;
                while (!$is_over && length $buffer{$s} >= $size) {
                    my $answer = $fault->(++$number, substr($buffer{$s}, 0, $size, ''), $s);
                    if (!defined $answer) { $is_over = 1 }
                    else { syswrite $s, $answer }
                }
                if ($is_over && $keeps_open) { push @kept, $s; $select->remove($s) }
                elsif ($is_over) { $select->remove($s); delete $buffer{$s}; close $s }
            }
        }
    }
    $Echolab::running{$pid} = { pid => $pid };
    return { port => $listener->sockport, pid => $pid };
}

sub end_faulty { my ($s) = @_; kill 'KILL', $s->{pid}; waitpid $s->{pid}, 0; delete $Echolab::running{ $s->{pid} } }

# A name with two addresses, for programs that run in a mount namespace with a hosts file of
# ours: @two_names is the wrapping command, or empty where that cannot be.
my @two_names;
{
    open my $hosts, '>', temp_dir() . '/hosts' or die;
    print $hosts "127.0.0.1 localhost\n127.0.0.1 two.example\n127.0.0.2 two.example\n";
    close $hosts;
    my @wrap = ('unshare', $> == 0 ? '-m' : '-rm', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"',
        temp_dir() . '/hosts');
    @two_names = @wrap if (run_program([@wrap, 'true']))[0] == 0;
}

sub load {
    my ($port, @arguments) = @_;
    return run_program(["$Echolab::build/echo-client", '--load', $port =~ /:/ ? $port : "127.0.0.1:$port",
        @arguments], seconds => 60, wrap => $port =~ /^two/ ? \@two_names : []);
}

sub load_json {
    my ($code, $out, $err) = load(@_, '--json');
    my $report = eval { decode_json($out) };
    ok($report, 'one JSON object') or diag($out, $err);
    return ($code, $report // {}, $err);
}

sub between {
    my ($got, $low, $high, $what) = @_;
    ok($got >= $low && $got <= $high, $what) or diag("got $got, wanted $low to $high");
}

# ---- against the right server --------------------------------------------------------------
my $server = start_server('max-connections' => 12000);
my $port   = $server->{port};

for my $case (
    ['one connection'],
    ['many',           '--connections', 300],
    ['a pipeline',     '--pipeline',    16],
    ['odd sizes',      '--size',        1],
    ['7 bytes',        '--size',        7, '--pipeline', 3],
    ['large messages', '--size',        3000001, '--connections', 3],
    ['large ones in a pipeline', '--size', 300000, '--pipeline', 4, '--connections', 2],
    ['threads',        '--threads',     3],
    ['connection per message', '--reconnect', '--connections', 5],
    ['a rate',         '--rate',        2000, '--threads', 2],
    ['warm-up',        '--warmup',      '100ms'],
) {
    my ($name, @how) = @$case;
    my ($code, $r, $err) = load_json($port, '--duration', '300ms', @how);
    is($code, 0, "$name: exit 0");
    is($err, '', '... nothing on stderr');
    cmp_ok($r->{messages_sent}, '>', 10, '... messages were sent');
    is($r->{messages_echoed}, $r->{messages_sent}, '... and each came back');
    is($r->{reply}{count}, $r->{messages_measured}, '... each measured is in the histogram');
    is(eval { my $sum = 0; $sum += $_ for values %{ $r->{errors} }; $sum }, 0, '... without an error');
    between($r->{measured_ns}, 290e6, 320e6, '... for as long as was told');
    my @p = map { $r->{reply}{$_} } qw(min_ns p50_ns p90_ns p99_ns p99_9_ns p99_99_ns max_ns);
    is("@p", join(' ', sort { $a <=> $b } @p), '... percentiles rise');
}

{
    my ($code, $r) = load_json($port, '--rate', 1000, '--duration', '1s', '--threads', 2);
    is($r->{messages_sent}, 1000, 'a rate is kept to the message');
    ($code, $r) = load_json($port, '--messages', 1234, '--threads', 4, '--connections', 9);
    is("$code $r->{messages_sent} $r->{messages_echoed}", '0 1234 1234', '--messages is kept to the message');
    my $many = $is_plain ? 10_000_000 : 100_000;
    ($code, $r) = load_json($port, '--messages', $many, '--pipeline', 64, '--connections', 20, '--duration', '50s');
    is("$code $r->{messages_echoed} $r->{messages_lost}", "0 $many 0", "no false alarm in $many messages");
    ($code, $r) = load_json($port, '--connections', $is_plain ? 9000 : 500, '--duration', '1s');
    is("$code $r->{messages_lost}", '0 0', 'thousands of connections');
    is($r->{connects}, $is_plain ? 9000 : 500, '... all were opened');
}

# ---- what the report looks like ------------------------------------------------------------
{
    my ($code, $out, $err) = load($port, '--messages', 50, '--csv');
    like($out, qr/\A10,64,0,50,50,0,0(,\d+){10}\n\z/, '--csv: one line of 17 numbers');
    ($code, $out, $err) = load($port, '--messages', 50, '--quiet');
    is("$code $out $err", '0  ', '--quiet: nothing');
    ($code, $out, $err) = load($port, '--messages', 50);
    like($out, qr/^  messages   50 sent, 50 echoed exactly, 0 lost$/m, 'a report for people');
    unlike($out, qr/[\r\033]/, '... without control characters when it goes to a file');
    my $command = "stty cols 40; exec $Echolab::build/echo-client --load 127.0.0.1:$port --duration 1s";
    my $tty = `script -qfec '$command' /dev/null </dev/null`;
    my @lines = $tty =~ /\r([^\r\n\033]+)\033\[K/g;
    cmp_ok(scalar @lines, '>=', 2, 'on a terminal a live line is drawn');
    like($lines[-1], qr/^\S+s \[#{3,10}\.*\] \d+\/s, p50 /, '... with time, progress, rate and latency');
    is(scalar(grep { length > 39 } @lines), 0, '... not wider than the terminal');
    like($tty, qr/\r\033\[K[^\r\n]*echo-client: 127.0.0.1/, '... and erased before the report');
}

# ---- a signal, the end of the server, its return -------------------------------------------
{
    my $pid = open my $pipe, '-|', "$Echolab::build/echo-client", '--load', "127.0.0.1:$port", '--duration', '0s', '--json'
        or die;
    sleep 0.5;
    kill 'INT', $pid;
    my $r = decode_json(join '', <$pipe>);
    close $pipe;
    is($? >> 8, 0, 'SIGINT: exit 0 when all was well');
    cmp_ok($r->{messages_echoed}, '>', 100, '... with the report so far');
    is($r->{messages_sent}, $r->{messages_echoed} + $r->{messages_unfinished}, '... what was under way is told');
    is($r->{messages_lost}, 0, '... and is not lost');

    is(stop_program($server), 0, 'the server ends with 0');
    $pid = open $pipe, '-|', "$Echolab::build/echo-client --load 127.0.0.1:$port --duration 3s --json --retry 50ms 2>/dev/null"
        or die;
    sleep 0.3;
    $server = start_server(port => $port);
    sleep 0.7;
    kill 'KILL', $server->{pid};
    waitpid $server->{pid}, 0;
    delete $Echolab::running{ $server->{pid} };
    sleep 0.6;
    $server = start_server(port => $port);
    $r = decode_json(join '', <$pipe>);
    close $pipe;
    isnt($? >> 8, 0, 'a server that died: not exit 0');
    cmp_ok($r->{messages_echoed}, '>', 100, '... the run went on');
    cmp_ok($r->{errors}{refused}, '>', 5, '... refused connects are counted');
    is($r->{messages_sent}, $r->{messages_echoed} + $r->{messages_lost}, '... each message is echoed or lost');
    between($r->{away_ns}, 0.5e9, 2.2e9, '... and how long it was away');
}

# ---- faults --------------------------------------------------------------------------------
my ($held, $held_from);
my %faults = (
    'a flipped bit' => [6, 'differs', qr/byte 10 is 0x\w\w, expected 0x\w\w$/m,
        sub { my ($n, $m) = @_; substr($m, 10, 1) ^= "\x04" if $n == 50; $m }],
    'two replies swapped' => [6, 'differs', qr/message \d+: differs: byte 0 .*: it is message \d+ of connection \d$/m,
        sub { my ($n, $m) = @_; if ($n == 50) { $held = $m; return '' } if ($n == 51) { return $m . $held } $m },
        '--pipeline', 4, '--connections', 1],
    'a reply of another connection' => [6, 'differs', qr/it is message \d+ of connection \d$/m,
        sub { my ($n, $m, $s) = @_;
            if ($n == 50) { $held = $m; $held_from = $s; return '' }
            if ($n == 51) { syswrite $held_from, $m; return $held } $m }],
    'a duplicate' => [6, 'differs', qr/differs: (byte 0 .*: it is message \d+ of connection \d|64 bytes more than were sent)$/m,
        sub { my ($n, $m) = @_; $n == 50 ? $m . $m : $m }],
    'too much' => [6, 'differs', qr/differs: (1 bytes more than were sent|byte 0 is 0x21)/m,
        sub { my ($n, $m) = @_; $n == 50 ? "$m!" : $m }],
    'a tail dropped' => [7, 'closed_early', qr/closed early: 40 of 64 bytes came back$/m,
        sub { my ($n, $m, $s) = @_; return $m if $n != 50; syswrite $s, substr $m, 0, 40; return undef }],
    'a reset' => [7, 'reset', qr/reset: Connection reset/m,
        sub { my ($n, $m, $s) = @_; return $m if $n != 50; setsockopt $s, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'ii', 1, 0; return undef }],
    'a reply that stays away' => [5, 'timed_out', qr/timed out: 0 of 64 bytes came back$/m,
        sub { my ($n, $m) = @_; $n == 50 ? '' : $m }],
);
for my $name (sort keys %faults) {
    my ($code, $kind, $told, $fault, @how) = @{ $faults{$name} };
    my $faulty = faulty_server($fault);
    @how = ("--connections", 4) if !@how;
    my ($got, $r, $err) = load_json($faulty->{port}, "--messages", 200, "--timeout", "500ms", @how);
    is($got, $code, "$name: exit $code");
    cmp_ok($r->{errors}{$kind}, '>=', 1, "... counted as $kind");
    like($err, $told, '... and told');
    is($r->{messages_sent}, 200, '... all others were sent');
    is($r->{messages_echoed} + $r->{messages_lost}, 200, '... and each is echoed or lost');
    end_faulty($faulty);
}

# ---- latencies are right -------------------------------------------------------------------
for my $ms (10, 50, 200) {
    my $faulty = faulty_server(sub { sleep $ms / 1000; $_[1] });
    my (undef, $r) = load_json($faulty->{port}, '--connections', 1, '--messages', $ms == 200 ? 10 : 30);
    between($r->{reply}{$_}, $ms * 1e6 * 0.99, $ms * 1e6 * 1.05 + 2e6, "a delay of $ms ms: $_ $r->{reply}{$_}") for qw(p50_ns min_ns);
    end_faulty($faulty);
}
{
    my $faulty = faulty_server(sub { sleep 1 if $_[0] == 1500; $_[1] });
    my (undef, $r) = load_json($faulty->{port}, '--connections', 1, '--rate', 1000, '--duration', '4s');
    is($r->{messages_sent}, 4000, 'open loop: all that was due was sent');
    between($r->{reply}{p99_9_ns}, 0.95e9, 1.1e9, '... a stall of 1 s is in the latencies since due');
    between($r->{reply}{p90_ns}, 0.3e9, 1e9, '... of all that were due meanwhile');
    cmp_ok($r->{reply_raw}{p99_9_ns}, '<', 0.2e9, '... and hardly in the raw ones');
    between($r->{reply_raw}{max_ns}, 0.99e9, 1.1e9, '... where one message had it');
    end_faulty($faulty);
}

# ---- several addresses ---------------------------------------------------------------------
SKIP: {
    skip 'no mount namespaces here', 14 if !@two_names;
    my $both = start_server(address => '0.0.0.0');
    my ($code, $r) = load_json("two.example:$both->{port}", '--messages', 1000, '--connections', 10);
    my @addresses = @{ $r->{addresses} };
    is($code, 0, 'a name with two addresses');
    is(join(' ', map { $_->{address} } sort { $a->{address} cmp $b->{address} } @addresses),
        "127.0.0.1:$both->{port} 127.0.0.2:$both->{port}", '... both are told');
    is(join(' ', map { $_->{connects} } @addresses), '5 5', '... connections go to them in turn');
    is(scalar(grep { $_->{messages_echoed} > 100 } @addresses), 2, '... so do messages');
    is($r->{resolve}{count}, 1, '... the look-up is measured');
    (undef, $r) = load_json("two.example:$both->{port}", '--messages', 100, '--address-policy', 'first');
    is(scalar @{ $r->{addresses} }, 1, '--address-policy first: one');
    ($code, my $out, my $err) = load("two.example:$both->{port}", '--rate', 500, '--duration', '300ms', '--connections', 4);
    is("$code $err", '0 ', 'both in a report for people, at a rate');
    like($out, qr/, open loop of 500\/s, measured for /, '... with the rate');
    like($out, qr/^  address +connects +echoed +errors +p99\n(?:  127\.0\.0\.[12]:$both->{port} +2 +\d+ +0 +\S+s\n){2}/m, '... a line for each address');
    like($out, qr/^  reply, raw +\S+s /m, '... and the raw latencies');
    is(stop_program($both), 0, 'exit 0');
}

# ---- nobody waits for what does not come ---------------------------------------------------
{
    my $faulty = faulty_server(sub { $_[1] }, 1);
    my ($code, $r) = load_json($faulty->{port}, '--messages', 500);
    is($code, 0, 'a server that does not close');
    cmp_ok($r->{measured_ns}, '<', 0.9e9, '... waiting for its end is not in the time measured');
    end_faulty($faulty);
}
SKIP: {
    skip 'no mount namespaces here', 7 if !@two_names;
    my $half = start_server(address => '127.0.0.1');    # the other address refuses
    my $t    = time;
    my ($got, $r) = load_json("two.example:$half->{port}", '--threads', 2, '--connections', 2, '--retry', '0s', '--duration', '300ms');
    is($got, 4, 'one of two threads has nobody to talk to: exit 4');
    cmp_ok(time - $t, '<', 5, '... the other one does not wait for it');
    cmp_ok($r->{messages_echoed}, '>', 10, '... and works');
    is(stop_program($half), 0, 'exit 0');
}
{
    my $faulty = faulty_server(sub { sleep 0.05; $_[1] });
    my (undef, $r) = load_json($faulty->{port}, '--rate', 10_000_000, '--connections', 1, '--duration', '400ms', '--threads', 1);
    is($r->{messages_sent} + $r->{messages_skipped}, 4_000_000, 'what was due and could not be sent is counted');
    between($r->{messages_per_s}, 10, 22, '... and the rate counts only what came back in time');
    end_faulty($faulty);
}

# ---- what cannot be ------------------------------------------------------------------------
for my $case (
    [2, qr/^reconnect contradicts a pipeline; allowed: one of the two$/, '--reconnect', '--pipeline', 2],
    [2, qr/^more threads than connections; allowed: /, '--threads', 3, '--connections', 2],
    [2, qr/^fewer messages than threads; allowed: /, '--threads', 3, '--messages', 2],
    [2, qr/^count is for the loop/, '--once'],
    [2, qr/^--json: given twice; allowed: once$/, '--json', '--json'],
    [2, qr/^--json: takes no value; /, '--json=yes'],
    [2, qr/^--size: /, '--size', '0'],
    [1, qr/1000000 connections need \d+ open files, the limit is \d+: allowed: /, '--connections', 1000000],
    [4, qr/refused/, '--load=127.0.0.1:1', '--duration', '200ms', '--retry', '0s'],
    [3, qr/not resolved/, '--load=no-such-name.invalid:7'],
) {
    my ($code, $told, @how) = @$case;
    my @to = (grep { /^--load/ } @how) ? () : ('--load', "127.0.0.1:$port");
    my ($got, $out, $err) = run_program(["$Echolab::build/echo-client", @to, @how], seconds => 20);
    is($got, $code, "@how: exit $code");
    like($err, $told, '... told why');
    is(scalar(() = $err =~ /\n/g), 1, '... in one line') if $code <= 3;
}
my ($code, $out, $err) = run_program(["$Echolab::build/echo-client", '--json']);
is("$code $err", "2 report is for a load; allowed: together with --load HOST:PORT\n", '--json without a load');

# A report that nobody gets is no success.
for my $form ([], ['--json'], ['--csv']) {
    my ($code, undef, $err) = run_program(['sh', '-c', 'exec "$@" >&-', 'sh', "$Echolab::build/echo-client", '--load', "127.0.0.1:$port",
        '--messages', 10, '--connections', 1, @$form]);
    is($code, 1, "stdout is closed (@$form): exit 1");
    like($err, qr/ERROR cannot print the report: Bad file descriptor$/, '... told why');
}
{
    my ($code, undef, $err) = run_program(['sh', '-c', 'exec "$@" <&- 2>&-', 'sh', "$Echolab::build/echo-client", '--load', "127.0.0.1:$port",
        '--messages', 10, '--connections', 1]);
    is("$code $err", '0 ', 'stdin and stderr are closed: exit 0');
}

# Addresses to come from.
{
    my ($code, $r, $err) = load_json($port, '--source', '127.0.0.7,::1,127.0.0.9', '--connections', 7, '--duration', '300ms');
    is("$code $err", '0 ', 'sources: exit 0');
    is($r->{connects}, 7, '... all connections are made');
    sleep 0.3;
    my ($log, %from) = log_of($server);
    $from{$1}++ while $log =~ /from (127\.0\.0\.[79]):\d+ accepted/g;
    is_deeply(\%from, { '127.0.0.7' => 4, '127.0.0.9' => 3 }, '... from both IPv4 addresses in turn, not from the IPv6 one');
    ($code, my $out, $err) = load($port, '--source', '::1');
    is("$code $out", '2 ', 'IPv6 to IPv4: exit 2');
    like($err, qr/--source: '::1' has no address of the kind that 127.0.0.1:\d+ has; allowed: /, '... told why');
    ($code, $r, $err) = load_json($port, '--source', '192.0.2.1', '--duration', '100ms', '--connections', 1);
    is($code, 4, 'a source that is not ours: exit 4');
    like($err, qr/192\.0\.2\.1|[Aa]ddress/, '... told why');
}

# Ten ports for twenty connections, in a network namespace of its own.
SKIP: {
    my $unshare = $> == 0 ? 'unshare -n' : 'unshare -rn';
    skip 'no network namespaces here', 5 if system("$unshare ip link set lo up 2>/dev/null") != 0;
    my $script = 'ip link set lo up; echo 40000 40009 >/proc/sys/net/ipv4/ip_local_port_range; '
        . '"$0/echo-server" --port 5000 --log-level error & '
        . 'for n in 1 2 3 4 5 6 7 8 9; do "$0/echo-server" --healthcheck --port 5000 >/dev/null && break; sleep 0.1; done; '
        . '"$0/echo-client" --load 127.0.0.1:5000 --connections 20 --duration 500ms --json; code=$?; kill $!; wait; exit $code';
    my ($got, $out, $err) = run_program([split(' ', $unshare), 'sh', '-c', $script, $Echolab::build], seconds => 20);
    is($got, 4, 'no ports left: exit 4');
    like($err, qr/unreachable: no port is left on this side for that address: see net.ipv4.ip_local_port_range/, '... says which limit');
    # qemu-user does not know IP_BIND_ADDRESS_NO_PORT: there the health check keeps one.
    my $ports = $Echolab::build =~ /aarch64/ ? 9 : 10;
    is((eval { decode_json($out) } // {})->{connects}, $ports, '... and goes on with those that there are') or diag $err;
    $script =~ s/--connections/--source 127.0.0.1,127.0.0.2 --connections/;
    ($got, $out, $err) = run_program([split(' ', $unshare), 'sh', '-c', $script, $Echolab::build], seconds => 20);
    is("$got $err", '0 ', 'a second source has ports of its own: exit 0');
    is((eval { decode_json($out) } // {})->{connects}, 20, '... for all connections') or diag $err;
}

# ---- the loop's own ------------------------------------------------------------------------
{
    my $t = time;
    ($code, $out) = run_program(["$Echolab::build/echo-client", '--server-address', "127.0.0.1:$port", '--once']);
    is($code, 0, '--once');
    is(scalar(() = $out =~ /Message from server/g), 1, '... is one message');
    cmp_ok(time - $t, '<', 2, '... and no pause after it');
    $t = time;
    ($code, $out) = run_program(["$Echolab::build/echo-client", '--server-address', "127.0.0.1:$port", '--count', 4, '--interval', '200ms']);
    is(scalar(() = $out =~ /Message from server/g), 4, '--count 4');
    between(time - $t, 0.55, 0.9, '... one each --interval');
}

is(stop_program($server), 0, 'the server ends with 0');
done_testing();
