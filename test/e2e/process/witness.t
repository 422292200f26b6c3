#!/usr/bin/perl
# The client is a witness: it never takes itself, or nothing, for an answer; its exit code tells
# what became of the messages; its report is there in any case. In namespaces of the test's own.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

enter_own_network(mounts => 1);

my $client = "$Echolab::build/echo-client";

sub set_port_range {
    my ($range) = @_;
    open my $file, '>', '/proc/sys/net/ipv4/ip_local_port_range' or die "ip_local_port_range: $!";
    print $file $range;
    close $file or die "ip_local_port_range: $!";
}

# Names for loopback addresses, beside localhost.
{
    my $path = temp_dir() . '/hosts';
    open my $hosts, '>', $path or die;
    print $hosts "127.0.0.1 localhost\n127.0.0.1 both.example\n::1 both.example\n127.0.0.1 mixed.example\n192.0.2.9 mixed.example\n";
    close $hosts or die;
    system('mount', '--make-rprivate', '/') == 0 && system('mount', '--bind', $path, '/etc/hosts') == 0 or die;
}

sub start_load {
    my ($target, @how) = @_;
    return start_program([$client, '--load', $target, '--json', @how]);
}

# (exit code, the report as JSON, stderr)
sub end_of_load {
    my ($load) = @_;
    my $code   = exit_of($load, 30);
    my $report = eval { decode_json(log_of($load)) };
    ok($report, 'the report is a JSON object') or diag(log_of($load), slurp($load->{err}));
    return ($code, $report // {}, slurp($load->{err}));
}

sub load { return end_of_load(start_load(@_)) }

sub sum { my ($kinds) = @_; my $sum = 0; $sum += $_ for values %{ $kinds // {} }; return $sum }

# ---- nobody listens, and the port is one that a client may get ----------------------------------
# connect() takes ports of the lower bound's kind first, even or odd.
set_port_range('40000 40003');
for my $host ('127.0.0.1', '[::1]', '[::ffff:127.0.0.1]') {
    group "nobody listens on $host" => sub {
        my ($code, $out) = run_program([$client, '--server-address', "$host:40002", '--count', 200, '--loop-period', '0s', '--timeout', '200ms'], seconds => 60);
        my ($summary) = $out =~ /(\d+ sent, .* lost) \(/;
        is("$code $summary", '4 200 sent, 0 echoed, 200 lost', 'the loop has no echo, exit 4');
        for my $how ([], $host =~ /ffff/ ? () : ['--source', $host =~ tr/[]//dr]) {
            group "a load (@$how)" => sub {
                my ($code, $r) = load("$host:40002", '--connections', 3, '--duration', '1s', '--retry', '1ms', '--threads', 2, @$how);
                is($code, 4, 'exit 4');
                is("$r->{connects} $r->{messages_sent} $r->{messages_echoed}", '0 0 0', 'no connection, no message, no echo');
                cmp_ok($r->{errors}{refused}, '>', 10, 'its connects are refused');
            };
        }
        my %said;
        for (1 .. 40) {
            my ($code, $out) = run_program(["$Echolab::build/echo-server", '--healthcheck', '--address', $host =~ tr/[]//dr, '--port', 40002]);
            $said{"$code $out"}++;
        }
        is_deeply([keys %said], ["1 refused\n"], '40 health checks are refused');
    };
}

# ---- a server that comes back under load finds its port free ---------------------------------------
group 'ten servers come to ports that a load tries to connect to' => sub {
    my $starts = 0;
    for my $port (map { 40000 + 2 * $_ } 1 .. 10) {
        set_port_range($port . ' ' . ($port + 3));
        my $load = start_load("127.0.0.1:$port", '--connections', 4, '--retry', '1ms', '--duration', '0s');
        sleep 0.2;
        my $server = eval { start_server(port => $port) };
        $starts++ if $server;
        kill 'INT', $load->{pid};
        exit_of($load);
        stop_program($server) if $server;
    }
    is($starts, 10, 'each port is free');
};
set_port_range('32768 60999');

# ---- messages decide -------------------------------------------------------------------------------
group 'each connection ends between two messages' => sub {
    my $odd = odd_server(sub { my ($s) = @_; read $s, my $m, 64 or return; syswrite $s, $m; sleep 0.02 });
    my @to  = ("127.0.0.1:$odd->{port}", '--connections', 1, '--rate', 4);
    my ($code, $r) = load(@to, '--duration', '2s', '--retry', '5ms');
    is("$r->{messages_sent} $r->{messages_echoed} $r->{messages_lost}", '8 8 0', 'all messages are echoed');
    cmp_ok($r->{moved}, '>=', 4, 'the ends are told');
    is("$code " . sum($r->{errors}) . ' ' . sum($r->{failures}), '0 0 0', 'they are no errors, for each was connected again: exit 0') or diag explain $r;
    my ($text_code, $text) = run_program([$client, '--load', @to, '--messages', 5, '--retry', '5ms']);
    is($text_code, 0, 'exit 0 after a number of messages');
    like($text, qr/^  moved      \d+ connections that the server ended between two messages, or refused while it was replaced$/m, 'a report for people says so');
    ($code, $r) = load(@to, '--messages', 5, '--retry', '0s');
    is("$r->{messages_sent} $r->{messages_echoed} $r->{messages_lost} $code", '1 1 0 7', 'with --retry 0s most messages are not sent: exit 7');
    is($r->{failures}{closed_early}, 1, 'with --retry 0s one connection stays without success');
    kill 'KILL', $odd->{pid};
};

for my $kind ('IPv4', 'IPv6') {
    my $server = start_server(address => $kind eq 'IPv4' ? '127.0.0.1' : '::1');
    for my $how (['--messages', 800], ['--duration', '50ms'], ['--duration', '500ms', '--threads', 3], ['--rate', 100, '--duration', '300ms']) {
        group "a name of both kinds, a server of $kind, @$how" => sub {
            my ($code, $r) = load("both.example:$server->{port}", @$how);
            is($r->{messages_echoed}, $r->{messages_sent}, 'all messages are echoed');
            is("$code " . sum($r->{failures}), '0 0', 'nothing failed for good: exit 0');
            cmp_ok($r->{errors}{refused}, '>=', 5, 'the other address is told') if $r->{messages_sent} != 800;
        };
    }
    stop_program($server);
}

# Returns a server and a load of two connections, of which each has a message every second. The
# next message is due in about 350 ms, and both are idle for longer than the 100 ms after which a
# server that stops ends an idle connection.
sub start_slow_load {
    my ($duration) = @_;
    my $server = start_server('log-level' => 'debug');
    my $load   = start_load("127.0.0.1:$server->{port}", '--connections', 2, '--rate', 2, '--duration', $duration, '--retry', '20ms');
    wait_for(sub { (() = log_of($server) =~ /sent 64 bytes/g) >= 3 }) or die;
    sleep 0.15;
    return ($server, $load);
}

group 'a server that goes for good in an open loop' => sub {
    my ($server, $load) = start_slow_load('3s');
    stop_program($server);
    my ($code, $r) = end_of_load($load);
    is($r->{messages_lost}, 0, 'nothing is lost');
    is("$code $r->{failures}{refused} $r->{exit_code}", '4 2 4', 'both connections stay without success: exit 4');
    cmp_ok($r->{messages_skipped}, '>', 1, 'messages were not sent');
};

group 'a server that is restarted in an open loop' => sub {
    my ($server, $load) = start_slow_load('5s');
    stop_program($server);
    sleep 0.2;
    my $again = start_server(port => $server->{port});
    my ($code, $r) = end_of_load($load);
    is("$r->{messages_sent} $r->{messages_echoed} $r->{messages_lost}", '10 10 0', 'nothing is lost');
    cmp_ok(sum($r->{errors}), '>', 0, 'the errors are told');
    is("$code $r->{exit_code}", '0 0', 'exit 0');
    stop_program($again);
};

group 'ended by a signal before any echo' => sub {
    my $silent = odd_server(sub { sleep 20 });
    for my $how ([], ['--rate', 100]) {
        my $load = start_load("127.0.0.1:$silent->{port}", '--connections', 1, @$how);
        wait_for_handler($load);
        sleep 0.3;
        kill 'INT', $load->{pid};
        my ($code, $r, $err) = end_of_load($load);
        is("$code $r->{messages_echoed}", '1 0', "a load (@$how): exit 1, not 0");
        like($err, qr/ERROR no message was echoed, and none was lost$/, "a load (@$how): it says so");
    }
    my $loop = start_program([$client, '--server-address', "127.0.0.1:$silent->{port}"]);
    wait_for_handler($loop);
    sleep 0.2;
    kill 'TERM', $loop->{pid};
    is(exit_of($loop), 1, 'the loop: exit 1, not 0');
    kill 'KILL', $silent->{pid};
};

# ---- what is expected --------------------------------------------------------------------------------
group 'expected' => sub {
    my $server = start_server(address => '127.0.0.1');
    my $nobody = 9;
    for (
        [0, 'refused',     'both.example',  $nobody,         'seen: 2 refused',                'two addresses, and both refuse'],
        [9, 'refused',     'mixed.example', $nobody,         'seen: 1 refused, 1 unreachable', 'one of two addresses refuses'],
        [9, 'unreachable', 'mixed.example', $nobody,         'seen: 1 refused, 1 unreachable', 'one of two addresses is unreachable'],
        [0, 'unreachable', '192.0.2.9',     $nobody,         'seen: 1 unreachable',            'there is no route'],
        [0, 'echo',        'both.example',  $server->{port}, 'seen: 1 echoed',                 'one of two addresses has a server'],
        [9, 'refused',     'both.example',  $server->{port}, 'seen: 1 echoed',                 'one of two addresses has a server'],
    ) {
        my ($code, $expected, $host, $port, $seen, $what) = @$_;
        my ($got, $out) = run_program([$client, "$host:$port", '--once', '--expect', $expected]);
        is($got, $code, "$expected, $what: the loop ends with $code");
        like($out, qr/expected $expected, $seen$/m, "$expected, $what: the loop says what was seen");
        ($got, my $r, my $err) = load("$host:$port", '--duration', '200ms', '--retry', '20ms', '--expect', $expected);
        is($got, $code, "$expected, $what: a load ends with $code");
        is(scalar(() = $err =~ /ERROR expected $expected, seen: /g), $code == 0 ? 0 : 1, "$expected, $what: a load says so where it is not");
    }
    stop_program($server);
};

# ---- the report is there in any case ------------------------------------------------------------------
for my $case (
    ['a name that is not resolved', 3, 'not_resolved', 'no-such-name.invalid:7'],
    ['nobody listens',              4, 'refused',      '127.0.0.1:9'],
    ['more connections than files', 1, undef,          '127.0.0.1:9', '--connections', 1000000],
    ['a source that is not ours',   2, undef,          '127.0.0.1:9', '--source',      '192.0.2.1'],
    ['a source of the other kind',  2, undef,          '127.0.0.1:9', '--source',      '::1'],
) {
    my ($name, $code, $kind, @how) = @$case;
    group $name => sub {
        push @how, '--duration', '100ms', '--retry', '0s', '--timeout', '500ms';
        my ($got, $r) = load(@how);
        is("$got " . ($r->{exit_code} // 'none'), "$code $code", "exit $code, also in the report");
        is(join(' ', map { $_ // 'none' } @{$r}{qw(messages_sent messages_echoed messages_lost connects)}), '0 0 0 0', 'the report has all numbers');
        ok($r->{errors}{$kind}, "$kind is counted") if defined $kind;
        is_deeply($r->{failures}, $r->{errors}, 'errors and failures are the same');
        my (undef, $csv) = run_program([$client, '--load', @how, '--csv']);
        like($csv, qr/\A\d+(,\d+){16}\n\z/, 'a line of CSV has 17 numbers');
        is((split /,/, $csv)[6] // '', sum($r->{errors}), 'a line of CSV has the errors');
        is((run_program([$client, '--load', @how]))[1], '', 'there is no report for people') if $code < 4;
    };
}

# ---- sources --------------------------------------------------------------------------------------------
group 'sources' => sub {
    my $server = start_server();
    my ($code, $out, $err) = run_program([$client, '--load', "127.0.0.1:$server->{port}", '--messages', 10, '--source', '192.0.2.1,127.0.0.1,2001:db8::1']);
    is("$code $out", '2 ', 'those that are not ours: exit 2');
    is($err =~ s/^\S+ \S+ //mgr, join('', map {"ERROR --source: '$_' is no address of this machine; allowed: its own (ip address)\n"} '192.0.2.1', '2001:db8::1'),
        'those that are not ours: a line for each, with what is allowed');
    system('ip address add 10.99.99.99/32 dev lo') == 0 or die;
    my $load = start_load("127.0.0.1:$server->{port}", '--connections', 2, '--reconnect', '--duration', '2s', '--source', '10.99.99.99', '--retry', '10ms', '--timeout', '100ms');
    sleep 0.4;
    system 'ip address del 10.99.99.99/32 dev lo';
    ($code, undef, $err) = end_of_load($load);
    is($code, 4, 'one that leaves this machine in mid-run: exit 4');
    like($err, qr/unreachable: its source is no address of this machine any more$/m, 'one that leaves this machine in mid-run: stderr says so');
    unlike($err, qr/no port is left/, 'one that leaves this machine in mid-run: no word of ports');
    stop_program($server);
};

group 'no port is left' => sub {
    set_port_range('20000 20001');     # in which no server was: a port that bind() had is passed over for a minute
    my $server = start_server(port => 5000);
    my @held   = map { connect_to(5000) } 1 .. 2;
    my ($code, $out) = run_program([$client, '--server-address', '127.0.0.1:5000', '--once']);
    is($code, 4, 'the loop ends with 4');
    like($out, qr/unreachable: no port is left on this side for that address: see net\.ipv4\.ip_local_port_range/, 'the log says which limit');
    ($code, $out) = run_program([$client, '127.0.0.1:5000', '--once', '--expect', 'unreachable']);
    is($code, 9, 'unreachable is expected, but not for want of a port: the loop ends with 9');
    like($out, qr/seen: 1 unreachable, some for want of ports, files or memory here$/m, 'unreachable is expected: the loop says that this side lacks something');
    ($code) = load('127.0.0.1:5000', '--duration', '100ms', '--expect', 'unreachable');
    is($code, 9, 'unreachable is expected, but not for want of a port: a load ends with 9');
    close $_ for @held;
    stop_program($server);
};

done_testing;
