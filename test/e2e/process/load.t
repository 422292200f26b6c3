#!/usr/bin/perl
# The client's load mode: what it counts and measures, every fault it must catch, its report.
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use Socket qw(TCP_NODELAY IPPROTO_TCP);
use Test::More;
use Time::Piece ();
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
    my $hosts = write_file(temp_dir() . '/hosts', "127.0.0.1 localhost\n127.0.0.1 two.example\n127.0.0.2 two.example\n");
    my @wrap = ('unshare', $> == 0 ? '-m' : '-rm', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', $hosts);
    @two_names = @wrap if (run_program([@wrap, 'true']))[0] == 0;
}

sub load {
    my ($port, @arguments) = @_;
    return run_program(["$Echolab::build/echo-client", '--load', $port =~ /:/ ? $port : "127.0.0.1:$port",
        @arguments], seconds => 60, wrap => $port =~ /^two/ ? \@two_names : []);
}

sub load_json {
    my ($port, @arguments) = @_;
    my ($code, $out, $err) = load($port, @arguments, '--json');
    my $report = eval { decode_json($out) };
    ok($report, "the report of @arguments is one JSON object") or diag($out, $err);
    return ($code, $report // {}, $err);
}

sub between {
    my ($got, $low, $high, $what) = @_;
    ok($got >= $low && $got <= $high, $what) or diag("got $got, wanted $low to $high");
}

# ---- against the right server --------------------------------------------------------------
my $server = start_server('max-connections' => 12000);
my $port   = $server->{port};

# An emulator and sanitizers are slow: more than ten messages of 3 MB take them longer.
my $ms = $Echolab::build eq 'build' ? 300 : 1000;
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
    ['warm-up',        '--warmup',      '500ms'],
) {
    my ($name, @how) = @$case;
    my ($code, $r, $err) = load_json($port, '--duration', "${ms}ms", @how);
    is($code, 0, "$name: exit 0");
    is($err, '', "$name: nothing on stderr");
    cmp_ok($r->{messages_sent}, '>', 2, "$name: messages were sent");
    is($r->{messages_echoed}, $r->{messages_sent}, "$name: each message came back");
    is($r->{reply}{count}, $r->{messages_measured}, "$name: each message measured is in the histogram");
    is(eval { my $sum = 0; $sum += $_ for values %{ $r->{errors} }; $sum }, 0, "$name: no errors");
    between($r->{measured_ns}, ($ms - 10) * 1e6, ($ms + 400) * 1e6, "$name: it lasts as long as --duration says");
    my @p = map { $r->{reply}{$_} } qw(min_ns p50_ns p90_ns p99_ns p99_9_ns p99_99_ns max_ns);
    is("@p", join(' ', sort { $a <=> $b } @p), "$name: percentiles rise");
}

{
    my ($code, $r) = load_json($port, '--rate', 1000, '--duration', '1s', '--threads', 2);
    is($r->{messages_sent} + $r->{messages_skipped}, 1000, 'a rate is kept to the message');
    cmp_ok($r->{messages_sent}, '>', 900, 'a rate is kept to the message: hardly one is skipped, even on a busy machine');
    ($code, $r) = load_json($port, '--messages', 1234, '--threads', 4, '--connections', 9);
    is("$code $r->{messages_sent} $r->{messages_echoed}", '0 1234 1234', '--messages is kept to the message');
    my $many = $is_plain ? 10_000_000 : 100_000;
    ($code, $r) = load_json($port, '--messages', $many, '--pipeline', 64, '--connections', 20, '--duration', '50s');
    is("$code $r->{messages_echoed} $r->{messages_lost}", "0 $many 0", "no false alarm in $many messages");
    ($code, $r) = load_json($port, '--connections', $is_plain ? 9000 : 500, '--duration', '3s', '--timeout', '30s');
    is("$code $r->{messages_lost}", '0 0', 'thousands of connections: exit 0, none lost');
    is($r->{connects}, $is_plain ? 9000 : 500, 'thousands of connections: all were opened');
}

# ---- what the report looks like ------------------------------------------------------------
{
    my ($code, $out, $err) = load($port, '--messages', 50, '--csv');
    like($out, qr/\A10,64,0,50,50,0,0(,\d+){10}\n\z/, '--csv: one line of 17 numbers');
    ($code, $out, $err) = load($port, '--messages', 50, '--quiet');
    is("$code $out $err", '0  ', '--quiet: exit 0, nothing is printed');
    ($code, $out, $err) = load($port, '--messages', 50);
    like($out, qr/^  messages   50 sent, 50 echoed exactly, 0 lost$/m, 'a report for people: its counts');
    unlike($out, qr/[\r\033]/, 'a report for people: no control characters when it goes to a file');
    my $command = "stty cols 40; exec $Echolab::build/echo-client --load 127.0.0.1:$port --duration 1s";
    my $tty = `script -qfec '$command' /dev/null </dev/null`;
    my @lines = $tty =~ /\r([^\r\n\033]+)\033\[K/g;
    cmp_ok(scalar @lines, '>=', 2, 'on a terminal: a live line is drawn');
    like($lines[-1], qr/^\S+s \[#{3,10}\.*\] \d+\/s, p50 /, 'on a terminal: the live line has time, progress, rate and latency');
    is(scalar(grep { length > 39 } @lines), 0, 'on a terminal: the live line is not wider than it');
    like($tty, qr/\r\033\[K[^\r\n]*echo-client: 127.0.0.1/, 'on a terminal: the live line is erased before the report');
}

# ---- what the report is of -----------------------------------------------------------------
{
    my $before = time;
    my (undef, $r) = load_json($port, '--messages', 50);
    my $after = time;
    my ($version) = (run_program(["$Echolab::build/echo-client", '--version']))[1] =~ / (\S+)$/;
    is("$r->{version} $r->{target}", "$version 127.0.0.1:$port", 'a report as JSON: version and target');
    my ($second, $ms) = $r->{start} =~ /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})Z$/;
    my $start = Time::Piece->strptime($second // '1970-01-01T00:00:00', '%Y-%m-%dT%H:%M:%S')->epoch + ($ms // 0) / 1000;
    between($start, $before - 0.001, $after, 'a report as JSON: when it began, in UTC');
    is("$r->{expected} " . ($r->{is_as_expected} ? 'true' : 'false') . ' ' . keys %{ $r->{limits} }, 'any true 0', 'a report as JSON: nothing was expected, there are no limits');
    my ($code, $out, $err);
    my $names = 'connections,size,rate,sent,echoed,lost,errors,measured_ns,messages_per_s,bytes_per_s,p50_ns,p90_ns,p99_ns,p99_9_ns,p99_99_ns,max_ns,mean_ns';
    ($code, $out, $err) = run_program(["$Echolab::build/echo-client", '--csv-header']);
    is("$code $out $err", "0 $names\n ", '--csv-header alone: the names of the columns, exit 0');
    ($code, $out, $err) = load($port, '--messages', 50, '--csv', '--csv-header');
    like($out, qr/\A$names\n10,64,0,50,50,0,0(,\d+){10}\n\z/, '--csv --csv-header: the names, then the line');
    is("$code $err", '0 ', '--csv --csv-header: exit 0, nothing on stderr');
    like(slurp('docs/load.md') =~ s/\s+/ /gr, qr/`--csv`: @{[ $names =~ s{,}{, }gr ]}\./, 'docs/load.md names the same columns');
    ($code, $out, $err) = run_program(['sh', '-c', 'exec "$@" >&-', 'sh', "$Echolab::build/echo-client", '--csv-header']);
    is("$code $err", '1 ', '--csv-header, stdout is closed: exit 1');
    my $command = "stty cols 100; exec $Echolab::build/echo-client --load 127.0.0.1:$port --warmup 700ms --duration 700ms";
    my $tty = `script -qfec '$command' /dev/null </dev/null`;
    my @lines = $tty =~ /\r([^\r\n\033]+)\033\[K/g;
    like($lines[0], qr{/s, p50 -, p99 -, 0 errors}, 'on a terminal: before the first measured echo there is no latency');
    like($lines[-1], qr{/s, p50 [1-9]\S+s, p99 [1-9]\S+s, 0 errors}, 'on a terminal: later there is one');
}

# ---- less than one message per second ------------------------------------------------------
{
    my ($code, $r) = load_json($port, '--rate', '1/1100ms', '--duration', '3s', '--connections', 1);
    is("$code $r->{messages_sent} $r->{messages_echoed}", '0 3 3', 'one message in 1.1 s, for 3 s: three messages');
    like($r->{rate_per_s}, qr/^0\.90909090[89]\d*$/, 'one message in 1.1 s: the rate in the report');
    ($code, $r) = load_json($port, '--rate', '6/3s', '--duration', '3s', '--threads', 2);
    is("$code $r->{messages_sent} $r->{rate_per_s}", '0 6 2', 'six messages in 3 s, two threads: all of them');
    ($code, my $out) = load($port, '--rate', '1/2m', '--messages', 1, '--csv');
    like($out, qr/\A10,64,0\.008333333,1,1,0,0(,\d+){10}\n\z/, 'one message in two minutes: the rate in a line of CSV');
    ($code, $out) = load($port, '--rate', '1/2m', '--messages', 1);
    like($out, qr/, open loop of 1\/2m, measured for /, 'one message in two minutes: the rate in a report for people');
    # A server, or a balancer on the way, that ends what is idle between two messages.
    my $hasty = start_server('idle-timeout' => '1s');
    ($code, $r) = load_json($hasty->{port}, '--rate', '1/1s500ms', '--duration', '2s', '--connections', 1);
    is("$code $r->{messages_echoed} $r->{messages_lost}", '0 2 0', 'an end between two messages: both are echoed, exit 0');
    ($code, $r) = load_json($hasty->{port}, '--rate', '1/1s500ms', '--duration', '2s', '--connections', 1, '--max-moved', 0);
    is("$r->{moved} $r->{errors}{closed_early}", '1 0', 'an end between two messages: it is told, and is no error');
    is($code, 10, 'an end between two messages, none is allowed: exit 10');
    stop_program($hasty);
}

# ---- a signal, the end of the server, its return -------------------------------------------
{
    my $pid = open my $pipe, '-|', "exec $Echolab::build/echo-client --load 127.0.0.1:$port --duration 0s --json 2>/dev/null" or die;
    sleep 0.5;
    kill 'INT', $pid;
    my $r = decode_json(join '', <$pipe>);
    close $pipe;
    is($? >> 8, 0, 'SIGINT: exit 0 when all was well');
    cmp_ok($r->{messages_echoed}, '>', 100, 'SIGINT: the report so far is printed');
    is($r->{messages_sent}, $r->{messages_echoed} + $r->{messages_unfinished}, 'SIGINT: what was under way is reported as unfinished');
    is($r->{messages_lost}, 0, 'SIGINT: what was under way is not lost');

    is(stop_program($server), 0, 'SIGTERM ends the server with 0');
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
    cmp_ok($r->{messages_echoed}, '>', 100, 'a server that died: the run went on');
    cmp_ok($r->{errors}{refused}, '>', 5, 'a server that died: refused connects are counted');
    is($r->{messages_sent}, $r->{messages_echoed} + $r->{messages_lost}, 'a server that died: each message is echoed or lost');
    between($r->{outage_ns}, 0.5e9, 2.2e9, 'a server that died: the outage is reported');
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
    'too much' => [6, 'differs', qr/differs: (1 byte more than were sent|byte 0 is 0x21)/m,
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
    group $name => sub {
        my $faulty = faulty_server($fault);
        @how = ("--connections", 4) if !@how;
        my ($got, $r, $err) = load_json($faulty->{port}, "--messages", 200, "--timeout", "500ms", @how);
        is($got, $code, "exit $code");
        cmp_ok($r->{errors}{$kind}, '>=', 1, "counted as $kind");
        like($err, $told, 'stderr says what came');
        is($r->{messages_sent}, 200, 'all messages were sent');
        is($r->{messages_echoed} + $r->{messages_lost}, 200, 'each message is echoed or lost');
        end_faulty($faulty);
    };
}

# ---- limits and expectation ----------------------------------------------------------------
sub truth { my ($value) = @_; return !defined $value ? 'undef' : $value ? 'true' : 'false' }

group 'limits' => sub {
    my $loses  = sub { my ($n, $m, $s) = @_; return $n == 50 || $n == 60 ? undef : $m };
    my @common = ('--messages', 200, '--connections', 1);
    for my $case (
        [7,  ''],
        [10, "max-lost: 2; allowed: 1", '--max-lost', 1],
        [0,  '',                        '--max-lost', 2],
        [10, "max-errors: 2; allowed: 0", '--max-errors', 0],
        [0,  '',                        '--max-errors', 2],
        [10, "max-lost: 2; allowed: 1", '--max-lost', 1, '--max-errors', 2],
        [7,  '',                        '--max-outage', '1h'],
        [10, qr/max-outage: \S+s; allowed: 0s/, '--max-lost', 2, '--max-outage', 0],
        [0,  '',                        '--max-lost', 2, '--max-outage', '1h', '--max-p99', '1h'],
    ) {
        my ($code, $told, @limits) = @$case;
        my $faulty = faulty_server($loses);
        my ($got, $r, $err) = load_json($faulty->{port}, @common, @limits);
        is($got, $code, "two lost of 200, @limits: exit $code");
        is($r->{exit_code}, $code, "two lost of 200, @limits: the report has it");
        my @lines = map { s/^\S+ \S+ //r } grep { /ERROR/ } split /\n/, $err;
        $told eq '' ? is(scalar @lines, 0, "two lost of 200, @limits: no line of a limit")
            : like(join("\n", @lines), qr/\AERROR --$told\z/, "two lost of 200, @limits: one line says which, with both values");
        is(join(' ', sort map { s/_ns$//r } keys %{ $r->{limits} }), join(' ', sort map { tr/-/_/r } map { s/^--//r } grep { /^--/ } @limits), "two lost of 200, @limits: the report has these limits");
        is(scalar(grep { truth($_->{is_broken}) eq 'true' } values %{ $r->{limits} }), $code == 10 ? 1 : 0, "two lost of 200, @limits: the report has which is broken");
        end_faulty($faulty);
    }
    my $faulty = faulty_server($loses);
    my ($code, $out, $err) = load($faulty->{port}, @common, '--max-lost', 1, '--max-errors', 5, '--quiet');
    is("$code $out", '10 ', 'without a report: exit 10');
    like($err, qr/ERROR --max-lost: 2; allowed: 1$/m, 'without a report: stderr names the limit');
    end_faulty($faulty);
    $faulty = faulty_server($loses);
    ($code, $out) = load($faulty->{port}, @common, '--max-lost', 1, '--max-errors', 5);
    like($out, qr/^  max-lost   2, allowed 1: broken\n  max-errors 2, allowed 5$/m, 'a report for people: each limit with both values');
    end_faulty($faulty);

    my $slow = faulty_server(sub { sleep 0.02; $_[1] });
    ($code, my $r) = load_json($slow->{port}, '--messages', 20, '--connections', 1, '--max-p99', '5ms');
    is($code, 10, 'replies of 20 ms, 5 ms are allowed: exit 10');
    cmp_ok($r->{limits}{max_p99_ns}{seen}, '>=', 20e6, 'replies of 20 ms: they are held against the limit');
    is("$r->{limits}{max_p99_ns}{seen} $r->{limits}{max_p99_ns}{allowed}", "$r->{reply}{p99_ns} 5000000", 'replies of 20 ms: the percentile is that of the report');
    ($code) = load_json($slow->{port}, '--messages', 20, '--connections', 1, '--max-p99', '30s');
    is($code, 0, 'replies of 20 ms, 30 s are allowed: exit 0');
    # In an open loop what counts is since when a message was due; the server takes 50 of 100.
    ($code, $r) = load_json($slow->{port}, '--rate', 100, '--duration', '1s', '--connections', 1, '--max-p99', '100ms');
    is($code, 10, 'a rate that cannot be kept: exit 10');
    cmp_ok($r->{messages_skipped}, '>', 1, 'a rate that cannot be kept: messages were not sent');
    ok(exists $r->{limits}{max_p99_ns}{seen} && !defined $r->{limits}{max_p99_ns}{seen}, 'a rate that cannot be kept: 99 % are not reached');
    ($code, $r, $err) = load_json($slow->{port}, '--messages', 5, '--warmup', '1m', '--connections', 1, '--max-p99', '1h');
    is($code, 10, 'nothing was measured: exit 10');
    like($err, qr/ERROR --max-p99: not reached; allowed: 1h$/m, 'nothing was measured: stderr says so');
    end_faulty($slow);

    my $flips = faulty_server($faults{'a flipped bit'}[3]);
    ($code) = load_json($flips->{port}, @common, '--max-lost', 5, '--max-errors', 5);
    is($code, 6, 'no limit allows a reply that differs: exit 6');
    end_faulty($flips);
    ($code) = load_json(free_port(), '--duration', '100ms', '--max-lost', 5, '--max-errors', 5000);
    is($code, 4, 'no limit allows that nothing is echoed: exit 4');
    ($code) = load_json('no-such-name.invalid:7', '--max-errors', 0);
    is($code, 3, 'a load that did not begin has no limits: exit 3');
};

group 'expected' => sub {
    my @short = ('--duration', '300ms', '--retry', '20ms');
    my ($code, $r, $err) = load_json($port, @short, '--expect', 'echo');
    is("$code $err", '0 ', 'echo, and so it is: exit 0, nothing on stderr');
    is("$r->{expected} " . truth($r->{is_as_expected}), 'echo true', 'echo, and so it is: the report says it');
    ($code, $r, $err) = load_json(free_port(), @short, '--expect', 'refused', '--threads', 2);
    is("$code $err", '0 ', 'refused, and so it is: exit 0, nothing on stderr');
    is("$r->{expected} $r->{exit_code} " . truth($r->{is_as_expected}), 'refused 0 true', 'refused, and so it is: the report says it');
    ($code, my $out) = load(free_port(), @short, '--expect', 'refused');
    like($out, qr/^  verdict    expected refused, seen: \d+ refused; 0 connects$/m, 'refused, and so it is: a report for people says what was seen');
    ($code, $r, $err) = load_json($port, @short, '--expect', 'refused');
    is($code, 9, 'refused, but there is a server: exit 9');
    like($err, qr/\A\S+ \S+ ERROR expected refused, seen: \d+ echoed; 10 connects\n\z/, 'refused, but there is a server: one line says what was seen');
    is("$r->{exit_code} " . truth($r->{is_as_expected}), '9 false', 'refused, but there is a server: the report says it');
    ($code, $r, $err) = load_json('no-such-name.invalid:7', '--expect', 'not-resolved');
    is("$code $r->{exit_code} $err", '0 0 ', 'not resolved, and so it is: exit 0, nothing on stderr');
    ($code, $r, $err) = load_json('no-such-name.invalid:7', '--expect', 'timeout');
    is($code, 9, 'timeout, but not resolved: exit 9');
    like($err, qr/ERROR expected timeout, seen: 1 not resolved; 0 connects$/m, 'timeout, but not resolved: a line says so');
    my $resets = faulty_server($faults{'a reset'}[3]);
    ($code) = load_json($resets->{port}, '--messages', 200, '--connections', 4, '--expect', 'reset');
    is($code, 9, 'reset, but others were echoed: exit 9');
    end_faulty($resets);
    $resets = faulty_server(sub { setsockopt $_[2], Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'ii', 1, 0; return undef });
    ($code, $r, $err) = load_json($resets->{port}, '--messages', 20, '--connections', 4, '--expect', 'reset');
    is("$code $err", '0 ', 'reset, and so were all: exit 0, nothing on stderr');
    end_faulty($resets);
    my $silent = faulty_server(sub { '' });
    ($code, $r, $err) = load_json($silent->{port}, '--messages', 4, '--connections', 4, '--timeout', '300ms', '--expect', 'timeout');
    is("$code $err", '0 ', 'timeout, and no reply comes: exit 0, nothing on stderr');
    end_faulty($silent);
    ($code) = load_json($port, @short, '--expect', 'echo', '--max-p99', '1h');
    is($code, 0, 'echo and a limit, and both hold: exit 0');
    ($code) = load_json($port, @short, '--expect', 'echo', '--max-p99', '1ns');
    is($code, 10, 'echo and a limit that is broken: exit 10');
    ($code) = load_json($port, @short, '--expect', 'refused', '--max-p99', '1h');
    is($code, 9, 'refused, but there is a server, and a limit: exit 9');
    ($code, $out, $err) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$port", '--expect', 'refused', '--connections', 1000000]);
    is($code, 1, 'a load that cannot begin: exit 1');
    ($code, $out, $err) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$port", '--expect', 'refused', '--source', '192.0.2.1']);
    is($code, 2, 'a setting that is wrong: exit 2');
};

# ---- latencies are right -------------------------------------------------------------------
for my $ms (10, 50, 200) {
    my $faulty = faulty_server(sub { sleep $ms / 1000; $_[1] });
    my (undef, $r) = load_json($faulty->{port}, '--connections', 1, '--messages', $ms == 200 ? 10 : 30);
    # A busy machine adds to most of them, hardly to each.
    between($r->{reply}{min_ns}, $ms * 1e6 * 0.99, $ms * 1e6 * 1.05 + 2e6, "a delay of $ms ms is what is measured: at least $r->{reply}{min_ns}");
    between($r->{reply}{p50_ns}, $r->{reply}{min_ns}, $ms * 1e6 * 1.5 + 20e6, "a delay of $ms ms is what is measured: mostly $r->{reply}{p50_ns}");
    end_faulty($faulty);
}
{
    my $faulty = faulty_server(sub { sleep 1 if $_[0] == 1500; $_[1] });
    my (undef, $r) = load_json($faulty->{port}, '--connections', 1, '--rate', 1000, '--duration', '4s');
    is($r->{messages_sent} + $r->{messages_skipped}, 4000, 'a stall of 1 s in an open loop: all that was due is counted');
    cmp_ok($r->{messages_sent}, '>', 3700, 'a stall of 1 s in an open loop: what was due meanwhile was sent afterwards');
    between($r->{reply}{p99_9_ns}, 0.95e9, 2e9, 'a stall of 1 s in an open loop: it is in the latencies since due');
    between($r->{reply}{p90_ns}, 0.3e9, 2e9, 'a stall of 1 s in an open loop: it is in those of all that were due meanwhile');
    cmp_ok($r->{reply_raw}{p99_9_ns}, '<', 0.2e9, 'a stall of 1 s in an open loop: it is hardly in the raw latencies');
    between($r->{reply_raw}{max_ns}, 0.99e9, 2e9, 'a stall of 1 s in an open loop: one raw latency has it');
    end_faulty($faulty);
}

# Twenty messages in a tick: they wait for each other, 9.5 ms on average, and each knows since when.
{
    my ($code, $r, $err) = load_json($port, '--rate', 1003, '--tick', '20ms', '--connections', 50, '--duration', '1s');
    is("$code $err", '0 ', 'ticks: exit 0, nothing on stderr');
    is($r->{tick_ns}, 20_000_000, 'ticks: the report has them');
    is($r->{messages_sent} + $r->{messages_skipped}, 1003, 'ticks: the rate is kept to the message, with those of the last tick');
    cmp_ok($r->{messages_skipped}, '<', 100, 'ticks: hardly one is skipped, even on a busy machine');
    between($r->{reply}{mean_ns} - $r->{reply_raw}{mean_ns}, 9.2e6, 100e6, 'ticks: what messages wait for each other is in the latencies since due');
    my (undef, $text) = load($port, '--rate', 500, '--tick', '5ms', '--messages', 10);
    like($text, qr/, open loop of 500\/s in ticks of 5\.00ms, measured for /, 'ticks: a report for people has them');
}

# What a message costs the kernel, in calls: one send(), one look whether the connection ended, one
# recv(), and little else where many go together.
SKIP: {
    skip 'no strace here, or sanitizers, which are slow in it', 3 if !has_command('strace') || !$is_plain;
    my $trace = temp_dir() . '/calls';
    my ($code) = run_program(['strace', '-f', '-qq', '-o', $trace, "$Echolab::build/echo-client", '--load', "127.0.0.1:$port",
        '--rate', 1000, '--tick', '20ms', '--connections', 30, '--messages', 1000, '--quiet'], seconds => 60);
    is($code, 0, 'ticks in a tracer: exit 0');
    my %calls;
    $calls{$_}++ for slurp($trace) =~ /^\d+ +(\w+)\(/mg;
    my ($polls, $timers, $all) = (($calls{poll} // 0) + ($calls{ppoll} // 0), $calls{timerfd_settime} // 0, eval { my $n = 0; $n += $_ for values %calls; $n });
    cmp_ok($polls + $timers, '<', 1300, 'ticks: 1,000 messages need few rounds') or diag explain \%calls;
    cmp_ok($all, '<', 4700, 'ticks: fewer than five calls for a message') or diag explain \%calls;
}

# Of 50 connections in an open loop one or two have a message under way: poll() looks at them only.
SKIP: {
    skip 'no strace here, or sanitizers, which are slow in it', 2 if !has_command('strace') || !$is_plain;
    my $trace = temp_dir() . '/polls';
    my ($code) = run_program(['strace', '-f', '-qq', '-o', $trace, '-e', 'trace=poll,ppoll', "$Echolab::build/echo-client",
        '--load', "127.0.0.1:$port", '--connections', 50, '--rate', 500, '--duration', '1s', '--quiet'], seconds => 60);
    is($code, 0, 'an open loop in a tracer: exit 0');
    my @looked = sort { $a <=> $b } slurp($trace) =~ /poll\(.*\], (\d+), /g;
    cmp_ok($looked[@looked / 2] // 99, '<', 15, 'an open loop: most calls of poll() look at few of 50 connections') or diag "@looked";
}

# ---- several addresses ---------------------------------------------------------------------
group 'a name with two addresses' => sub { SKIP: {
    skip 'no mount namespaces here', 13 if !@two_names;
    my $both = start_server(address => '0.0.0.0');
    my ($code, $r) = load_json("two.example:$both->{port}", '--messages', 1000, '--connections', 10);
    my @addresses = @{ $r->{addresses} };
    is($code, 0, 'exit 0');
    is(join(' ', map { $_->{address} } sort { $a->{address} cmp $b->{address} } @addresses),
        "127.0.0.1:$both->{port} 127.0.0.2:$both->{port}", 'both are reported');
    is(join(' ', map { $_->{connects} } @addresses), '5 5', 'connections go to them in turn');
    is(scalar(grep { $_->{messages_echoed} > 100 } @addresses), 2, 'messages go to both');
    is($r->{resolve}{count}, 1, 'the look-up is measured');
    (undef, $r) = load_json("two.example:$both->{port}", '--messages', 100, '--address-policy', 'first');
    is(scalar @{ $r->{addresses} }, 1, '--address-policy first takes one');
    ($code, my $out, my $err) = load("two.example:$both->{port}", '--rate', 500, '--duration', '300ms', '--connections', 4);
    is("$code $err", '0 ', 'a report for people, at a rate: exit 0, nothing on stderr');
    like($out, qr/, open loop of 500\/s, measured for /, 'a report for people: it has the rate');
    like($out, qr/^  address +connects +echoed +errors +p99\n(?:  127\.0\.0\.[12]:$both->{port} +2 +\d+ +0 +\S+s\n){2}/m, 'a report for people: it has a line for each address');
    like($out, qr/^  reply, raw +\S+s /m, 'a report for people: it has the raw latencies');
    is(stop_program($both), 0, 'SIGTERM ends the server with 0');
}};

# ---- nobody waits for what does not come ---------------------------------------------------
{
    my $faulty = faulty_server(sub { $_[1] }, 1);
    my ($code, $r) = load_json($faulty->{port}, '--messages', 500);
    is($code, 0, 'a server that does not close: exit 0');
    cmp_ok($r->{measured_ns}, '<', 0.9e9, 'a server that does not close: waiting for its end is not in the time measured');
    end_faulty($faulty);
}
group 'one of two threads has nobody to talk to' => sub { SKIP: {
    skip 'no mount namespaces here', 5 if !@two_names;
    my $half = start_server(address => '127.0.0.1');    # the other address refuses
    my $t    = time;
    my ($got, $r) = load_json("two.example:$half->{port}", '--threads', 2, '--connections', 2, '--retry', '0s', '--duration', '300ms');
    is($got, 4, 'exit 4');
    cmp_ok(time - $t, '<', 5, 'the other one does not wait for it');
    cmp_ok($r->{messages_echoed}, '>', 10, 'the other one works');
    is(stop_program($half), 0, 'SIGTERM ends the server with 0');
}};
{
    my $faulty = faulty_server(sub { sleep 0.05; $_[1] });
    my (undef, $r) = load_json($faulty->{port}, '--rate', 10_000_000, '--connections', 1, '--duration', '400ms', '--threads', 1);
    is($r->{messages_sent} + $r->{messages_skipped}, 4_000_000, 'a rate that cannot be kept: what was due and could not be sent is counted');
    between($r->{messages_per_s}, 5, 22, 'a rate that cannot be kept: the rate reported has only what came back in time');
    end_faulty($faulty);
}

# ---- what cannot be ------------------------------------------------------------------------
for my $case (
    [2, qr/^--reconnect, --pipeline: .*; allowed: one of the two$/, '--reconnect', '--pipeline', 2],
    [2, qr/^--threads, --connections: more threads; allowed: /, '--threads', 3, '--connections', 2],
    [2, qr/^--threads, --messages: more threads; allowed: /, '--threads', 3, '--messages', 2],
    [2, qr/^--once, --load: it is for the loop.*; allowed: /, '--once'],
    [2, qr/^--loop-lapse, --load: it is for the loop.*; allowed: /, '--loop-lapse', '3s'],
    [2, qr/^--server-address, --load: it is for the loop.*; allowed: /, 'server:7'],
    [2, qr/^--rate, --duration: no second message is due; allowed: longer$/, '--rate', '1/2m'],
    [2, qr/^--csv-header, --report: .*; allowed: --csv$/, '--csv-header'],
    [2, qr/^--csv-header, --report: .*; allowed: --csv$/, '--csv-header', '--json'],
    [2, qr/^--tick, --rate: .*; allowed: with a rate$/, '--tick', '1ms'],
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
    like($err, $told, "@how: stderr says why");
    is(scalar(() = $err =~ /\n/g), 1, "@how: stderr has one line") if $code <= 3;
}
my ($code, $out, $err);
for my $option (['--json'], ['--connections', 3], ['--max-lost', 0], ['--rate=1/2m'], ['--reconnect']) {
    my ($name) = $option->[0] =~ /^([^=]+)/;
    ($code, $out, $err) = run_program(["$Echolab::build/echo-client", "127.0.0.1:$port", @$option]);
    is("$code $out $err", "2  $name: it is for a load; allowed: with --load HOST:PORT\n", "@$option without a load: exit 2, stderr says why");
}

# A report that nobody gets is no success.
for my $form ([], ['--json'], ['--csv']) {
    my ($code, undef, $err) = run_program(['sh', '-c', 'exec "$@" >&-', 'sh', "$Echolab::build/echo-client", '--load', "127.0.0.1:$port",
        '--messages', 10, '--connections', 1, @$form]);
    is($code, 1, "stdout is closed (@$form): exit 1");
    like($err, qr/ERROR cannot print the report: Bad file descriptor$/, "stdout is closed (@$form): stderr says why");
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
    is($r->{connects}, 7, 'sources: all connections are made');
    sleep 0.3;
    my ($log, %from) = log_of($server);
    $from{$1}++ while $log =~ /from (127\.0\.0\.[79]):\d+ accepted/g;
    is_deeply(\%from, { '127.0.0.7' => 4, '127.0.0.9' => 3 }, 'sources: connections come from both IPv4 addresses in turn, not from the IPv6 one');
    ($code, my $out, $err) = load($port, '--source', '::1');
    is("$code $out", '2 ', 'IPv6 to IPv4: exit 2, no report');
    like($err, qr/--source: '::1' has no address of the kind that 127.0.0.1:\d+ has; allowed: /, 'IPv6 to IPv4: stderr says why');
    ($code, $r, $err) = load_json($port, '--source', '192.0.2.1', '--duration', '100ms', '--connections', 1);
    is($code, 2, 'a source that is not ours: exit 2');
    like($err, qr/--source: '192\.0\.2\.1' is no address of this machine; allowed: /, 'a source that is not ours: stderr says why');
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
    like($err, qr/unreachable: no port is left on this side for that address: see net.ipv4.ip_local_port_range/, 'no ports left: stderr says which limit that is');
    is((eval { decode_json($out) } // {})->{connects}, 10, 'no ports left: it goes on with those that there are') or diag $err;
    $script =~ s/--connections/--source 127.0.0.1,127.0.0.2 --connections/;
    ($got, $out, $err) = run_program([split(' ', $unshare), 'sh', '-c', $script, $Echolab::build], seconds => 20);
    is("$got $err", '0 ', 'a second source has ports of its own: exit 0, nothing on stderr');
    is((eval { decode_json($out) } // {})->{connects}, 20, 'a second source has ports of its own: all connections are made') or diag $err;
}

# ---- the loop's own ------------------------------------------------------------------------
{
    my $t = time;
    ($code, $out) = run_program(["$Echolab::build/echo-client", '--server-address', "127.0.0.1:$port", '--once', '--loop-period', '10s']);
    is($code, 0, '--once: exit 0');
    is(scalar(() = $out =~ /Message from server/g), 1, '--once: one message');
    cmp_ok(time - $t, '<', 5, '--once: no pause after it');
    $t = time;
    ($code, $out) = run_program(["$Echolab::build/echo-client", '--server-address', "127.0.0.1:$port", '--count', 4, '--interval', '200ms']);
    is(scalar(() = $out =~ /Message from server/g), 4, '--count 4: four messages');
    between(time - $t, 0.6, 2, '--count 4: one message each --interval');
}

is(stop_program($server), 0, 'SIGTERM ends the server with 0');
done_testing();
