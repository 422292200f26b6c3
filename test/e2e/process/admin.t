#!/usr/bin/perl
# The admin address: its pages, what is refused and how, its limits, the drain; and the numbers
# of /metrics: the documented ones, right ones, the same that SIGUSR1 tells.
use strict;
use warnings;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use AdminPages;

my $program = "$Echolab::build/echo-server";
my $is_real = $Echolab::build !~ /aarch64/;    # an emulator has descriptors of its own, and does not know TCP_INFO
my @address = ('admin-address' => '127.0.0.1:0');

# Descriptors that the parent process left open are not counted, so none is left here.
my @alone = ($^X, '-MPOSIX', '-e', 'POSIX::close($_) for 3 .. 1023; exec @ARGV or die', '--');

# ---- the pages -----------------------------------------------------------------------------
my $server = start_server(@address);
my $port   = admin_port($server);
my $base   = open_fds($server->{pid});

for my $path ('/metrics', '/livez', '/readyz', '/metrics?name[]=up', 'http://a.example:9/metrics') {
    group "GET $path" => sub {
        my ($status, $fields, $body) = get($port, $path);
        is($status, 200, 'status 200');
        is($fields->{'Content-Length'}, length $body, 'Content-Length is that of the body');
        is($fields->{'Content-Type'}, 'text/plain; version=0.0.4; charset=utf-8', 'Content-Type');
        is($fields->{Connection}, 'close', 'Connection: close');
        is($body, "ok\n", 'a line') if $path =~ /z$/;
        my ($code, $head, $none) = get($port, $path, method => 'HEAD');
        is("$code $none", '200 ', 'HEAD: the same status, no body');
        is($head->{'Content-Length'}, length $body, 'HEAD: the length of the body') if $path =~ /z$/;
    };
}

# Each of these in one piece and byte by byte; 64 KiB more behind it do not reset the answer.
my %refused = (
    '404'                      => "GET /metric HTTP/1.1\r\nHost: a\r\n\r\n",
    '404 of HEAD'              => "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    '405'                      => "POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    '400 without Host'         => "GET /metrics HTTP/1.1\r\n\r\n",
    '400 of no HTTP'           => "hello\r\n",
    '400 of HTTP/2'            => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    '400 of TLS'               => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    '400 of half a request'    => 'GET /metrics HTT',
    '414'                      => 'GET /' . 'x' x 1020 . " HTTP/1.1\r\n",
    '431'                      => "GET /metrics HTTP/1.1\r\nHost: a\r\nCookie: " . 'x' x 1000 . "\r\n\r\n",
);
for my $name (sort keys %refused) {
    group $name => sub {
        my ($wanted) = $name =~ /^(\d+)/;
        for my $how ('at once', 'byte by byte', 'with much behind it') {
            next if $how =~ /much/ && $name =~ /half/;
            my $socket = connect_to($port);
            my $bytes  = $refused{$name} . ($how =~ /much/ ? 'y' x 60000 : '');
            if ($how =~ /byte/) {
                for (split //, $bytes) { send_all($socket, $_) }
            } else {
                send_all($socket, $bytes);
            }
            half_close($socket) if $name =~ /half/;
            my ($status, $fields, $body) = AdminPages::parts_of(receive_until_eof($socket));
            is($status, $wanted, "$how: status $wanted, then the end");
            is($fields->{Allow}, $wanted == 405 ? 'GET, HEAD' : undef, "$how: Allow with 405 only");
            is($body, $name =~ /HEAD/ ? '' : "allowed: GET or HEAD of /metrics, /livez, /readyz\n", "$how: what is allowed");
        }
    };
}

# Whatever the fuzzer found: an answer and the end, or the end where nothing was said.
group "the fuzzer's requests" => sub {
    my ($asked, @odd) = (0);
    for my $file (glob 'test/fuzz/corpus/http/*') {
        my $bytes  = slurp($file) =~ s/^.{0,3}//sr;    # behind the choice of cuts
        my $socket = connect_to($port);
        my $half   = int(length($bytes) / 2);
        send_all($socket, substr $bytes, 0, $half);
        send_all($socket, substr $bytes, $half);
        half_close($socket);
        my ($status) = AdminPages::parts_of(receive_until_eof($socket));
        $asked++;
        push @odd, "$file: " . ($status // 'nothing') if $bytes eq '' ? defined $status : ($status // '') !~ /^(?:200|400|404|405|414|431)$/;
    }
    cmp_ok($asked, '>', 50, "there are some: $asked");
    is(join(', ', @odd), '', 'each is answered');
};
group '408' => sub {
    my $t      = time;
    my @slow   = map { connect_to($port) } 1 .. 2;
    send_all($slow[0], "GET /metrics HTTP/1.1\r\nHo");
    my @status = map { (AdminPages::parts_of(receive_until_eof($_)))[0] } @slow;
    my $took   = time - $t;
    is("@status", '408 408', 'nothing, or not all, within a second');
    cmp_ok($took, '>=', 0.9, 'not before');
    cmp_ok($took, '<', 3, 'not long after');
};
group 'a trickle' => sub {
    my $t      = time;
    my $socket = connect_to($port);
    while (time - $t < 3) {
        last if send_all($socket, 'x') != 1;
        my $ready = '';
        vec($ready, fileno $socket, 1) = 1;
        last if select $ready, undef, undef, 0.1;
    }
    like(receive_until_eof($socket), qr{^HTTP/1\.1 408 }, 'a byte now and then does not help');
};

group 'four at once' => sub {
    wait_for(sub { open_fds($server->{pid}) == $base });
    my @idle = map { connect_to($port) } 1 .. 12;
    ok(wait_for(sub { open_fds($server->{pid}) == $base + 4 }), 'four are accepted') if $is_real;
    my $most = 0;
    for (1 .. 20) { my $now = open_fds($server->{pid}); $most = $now if $now > $most; sleep 0.01 }
    is($most, $base + 4, 'never more') if $is_real;
    my $echo = connect_to($server->{port});
    is(echo_of($echo, 'meanwhile'), 'meanwhile', 'the echo goes on');
    close $_ for @idle;
    is((get($port, '/livez'))[0], 200, 'then the next one is served');
};

# The listener rests for 10 ms after each connection.
group 'a storm' => sub {
    my $t = time;
    my $n = 0;
    while (time - $t < 1) { $n += ((get($port, '/metrics'))[0] // 0) == 200 }
    cmp_ok($n, '<=', 1 + 100 * (time - $t), "$n scrapes in a second, no more than 100");
    cmp_ok($n, '>=', 3, 'but some');
};
ok(wait_for(sub { open_fds($server->{pid}) == $base + 0 }), 'no descriptor stays') or diag open_fds($server->{pid}), " of $base";
is(stop_program($server), 0, 'exit 0');
like(log_of($server), qr/admin address 127\.0\.0\.1:$port closed\n/, 'it is closed with the server');
is(slurp($server->{err}), '', 'nothing on stderr');

# ---- the numbers ---------------------------------------------------------------------------
# As docs/metrics.md has them: name, type, labels, help.
my @documented = map { [/^\| `(\w+)` \| (\w+) \| ([\w, ]*?) ?\| (.+) \|$/] } grep {/^\| `/} split /\n/, slurp('docs/metrics.md') =~ s/.*^## The server's numbers\n//msr =~ s/^## .*//msr;
is(scalar(grep { $_->[0] } @documented), 23, 'docs/metrics.md has a table of 23 metrics');

for my $workers (1, 3) {
    group "the numbers, workers = $workers" => sub {
        my $s = start_server(@address, _wrap => \@alone, workers => $workers, 'idle-timeout' => '1s', 'pending-memory' => '1MiB');
        my $p = admin_port($s);
        my ($status, undef, $text) = get($p, '/metrics');
        my @told;
        for my $block (split /(?=^# HELP )/m, $text) {
            my ($name, $help) = $block =~ /^# HELP (\w+) (.+)$/m;
            my ($type) = $block =~ /^# TYPE \Q$name\E (\w+)$/m;
            my ($labels) = $block =~ /^\w+\{(.*?)\}/m;
            push @told, join ' | ', $name, $type, join(', ', ($labels // '') =~ /(\w+)="/g), $help;
        }
        is(join("\n", @told), join("\n", map { join ' | ', @$_ } @documented), 'names, types, labels and help are the documented ones, in their order');
        like($text, qr/\A(?:# HELP \w+ [^\n]+\n# TYPE \w+ (?:gauge|counter)\n(?:\w+(?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? \d+(?:\.\d+)?\n)+)+\z/, 'the text is an exposition');
        my $first = series_of($text);
        my @not_zero = grep { /_total/ && !/^process|rounds/ && $first->{$_} != 0 } sort keys %$first;
        is("@not_zero", '', 'all that counts begins at 0');
        is(scalar(grep {/closed_total/} keys %$first), 11, 'each reason is there');
        my ($build) = grep {/build_info/} keys %$first;
        like($build, qr/\{version="\d+\.\d+\.\d+",revision="(?:[0-9a-f]{40}|unknown)"\}$/, 'build_info has version and commit');

        my @echo = map { connect_to($s->{port}) } 1 .. 3;
        is(echo_of($_, 'x' x 1000), 'x' x 1000, '1000 bytes come back') for @echo;
        reset_connection($echo[0]);
        close $echo[1];
        my $n;
        ok(wait_for(sub { ($n = scrape($p))->{'echo_server_connections_closed_total{reason="peer ended it"}'} && $n->{'echo_server_connections_closed_total{reason="reset"}'} }),
            'one ended, one reset');
        is($n->{echo_server_connections}, 1, 'one is open');
        is($n->{echo_server_connections_accepted_total}, 3, 'three were accepted');
        is($n->{echo_server_received_bytes_total}, 3000, '3000 bytes were received');
        is($n->{echo_server_echoed_bytes_total}, 3000, 'and echoed');
        ok(wait_for(sub { scrape($p)->{process_open_fds} - 1 == open_fds($s->{pid}) }), 'the open descriptors, and that of the scrape') if $is_real;
        cmp_ok($n->{process_max_fds}, '>=', 100, 'their limit');
        cmp_ok(abs($n->{process_start_time_seconds} - time), '<', 30, 'the start was a moment ago');
        cmp_ok($n->{process_resident_memory_bytes}, '>', 50_000, 'memory is resident');
        cmp_ok($n->{process_cpu_seconds_total}, '>', 0, 'some CPU was used');
        is("$n->{echo_server_accepting} $n->{echo_server_draining}", '1 0', 'it accepts and does not drain');
        is($n->{echo_server_pending_bytes_limit}, 1 << 20, 'the limit of pending bytes is the configured one');

        ok(wait_for(sub { scrape($p)->{'echo_server_connections_closed_total{reason="idle"}'} == 1 }), 'the third ends as idle');
        my $deaf = connect_to($s->{port});
        my $sent = send_unread(64 << 20, $deaf);
        $n = scrape($p);
        cmp_ok($n->{echo_server_pending_bytes}, '>', 0, 'a peer does not read: bytes are pending');
        is($n->{echo_server_received_bytes_total}, $n->{echo_server_echoed_bytes_total} + $n->{echo_server_pending_bytes}, 'received = echoed + pending');
        reset_connection($deaf);
        ok(wait_for(sub { ($n = scrape($p))->{echo_server_connections} == 0 }), 'it is gone');
        cmp_ok($n->{echo_server_dropped_bytes_total}, '>', 0, 'its bytes are dropped');
        is($n->{echo_server_pending_bytes}, 0, 'none is pending');
        is($n->{echo_server_received_bytes_total}, $n->{echo_server_echoed_bytes_total} + $n->{echo_server_dropped_bytes_total}, 'received = echoed + dropped');
        is($n->{echo_server_connections_accepted_total}, sum_of($n, 'echo_server_connections_closed_total'), 'all accepted ones are closed');

        # The same lines, but for those that move by themselves.
        my $moves = qr/^(?:process_(?!max|start)|echo_server_pollset)/;
        kill 'USR1', $s->{pid};
        ok(wait_for_log($s, qr/counters: process_resident_memory_bytes/), 'SIGUSR1 tells the numbers');
        my $log = series_of(join '', map {"$_\n"} log_of($s) =~ / counters: ([a-z]+_.*)/g);
        is(join(' ', sort keys %$log), join(' ', sort keys %$n), 'SIGUSR1: the same series');
        is(join(' ', grep { $_ !~ $moves && $log->{$_} ne $n->{$_} } sort keys %$n), '', 'SIGUSR1: the same numbers');
        is(stop_program($s), 0, 'exit 0');
    };
}

group 'a full table' => sub {
    my $s = start_server(@address, 'max-connections' => 1);
    my $p = admin_port($s);
    my @three = map { connect_to($s->{port}) } 1 .. 3;
    is(echo_of($three[0], 'x'), 'x', 'one is served');
    ok(wait_for(sub { scrape($p)->{echo_server_backlog_connections} == 2 }), 'two wait in the backlog') if $is_real;
    my $n = scrape($p);
    is($n->{echo_server_accepting}, 0, 'it does not accept');
    is($n->{echo_server_connections_limit}, 1, 'the limit is told');
    is((get($p, '/readyz'))[0], 200, 'it is ready: the backlog queues');
    close $_ for @three;
    ok(wait_for(sub { scrape($p)->{echo_server_accepting} }), 'a slot is free: it accepts');
    stop_program($s);
};

# ---- the drain -----------------------------------------------------------------------------
group 'while it drains' => sub {
    my $s    = start_server(@address, 'drain-timeout' => '20s');
    my $p    = admin_port($s);
    my $slow = connect_to($s->{port});
    send_unread(64 << 20, $slow);
    kill 'TERM', $s->{pid};
    ok(wait_for_log($s, qr/listener on \S+ closed/), 'the listener is closed');
    my ($status, undef, $body) = get($p, '/readyz');
    is("$status $body", "503 SIGTERM\n", '/readyz: 503 and the signal');
    is((get($p, '/livez'))[0], 200, '/livez: 200');
    my $n = scrape($p);
    is("$n->{echo_server_accepting} $n->{echo_server_draining} $n->{echo_server_connections}", '0 1 1', '/metrics: it drains one connection');
    kill 'TERM', $s->{pid};
    is(exit_of($s), 1, 'cut by a second signal: exit 1');
    like(log_of($s), qr/connection 1 cut: second signal, .*\n.*connection 1 closed: second signal/, "the log's words are the reason's");
};

# ---- where it listens ----------------------------------------------------------------------
SKIP: {
    skip 'no IPv6 here', 2 if !IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
    my $s = start_server('admin-address' => '[::1]:0');
    is((get(admin_port($s), '/livez', host => '::1'))[0], 200, 'IPv6: [::1]:0');
    is(stop_program($s), 0, 'IPv6: exit 0');
}
{
    my $s = start_server();
    unlike(log_of($s), qr/admin/, 'by default there is none');
    stop_program($s);
    my ($code, $out) = run_program([$program, '--print-config', '--admin-address', '[::1]:9100'], env => { SERVER_ADMIN_ADDRESS => '127.0.0.1:1' });
    like($out, qr/^admin_address = \[::1\]:9100$/m, 'the command line wins over the environment');
}
my $allowed = 'allowed: none, or address:port like 127.0.0.1:9100 or [::1]:9100';
for my $bad ('', '9100', ':9100', 'localhost:9100', '127.0.0.1', '127.0.0.1:', '127.0.0.1:65536', '127.0.0.1:-1', '127.0.0.1:0x7', '127.0.0.1:7 ', '::1:9100', '[::1]9100',
    '[::1', '[127.0.0.1]:9100', '[]:1', '[:1', ':', '[', '127.0.0.1:18446744073709551716', 'http://127.0.0.1:9100', 'x' x 100) {
    my ($code, $out, $err) = run_program([$program, '--admin-address', $bad]);
    is($code, 2, "'$bad': exit 2");
    like($err, qr/\A--admin-address: '.*' is .*; \Q$allowed\E\n\z/, "'$bad': what is allowed");
}
for my $same (['127.0.0.1', '127.0.0.1:7777'], ['::1', '[0:0::1]:7777'], ['::', '[::]:7777'], ['::', '127.0.0.1:7777'], ['::', '[::1]:7777'],
    ['127.0.0.1', '0.0.0.0:7777'], ['127.0.0.1', '[::]:7777'], ['0.0.0.0', '[::ffff:127.0.0.1]:7777']) {
    my ($code, undef, $err) = run_program([$program, '--port', 7777, '--address', $same->[0], '--admin-address', $same->[1]]);
    is("$code $err", "2 admin_address overlaps the echo's own; allowed: another port\n", "$same->[1] cannot stand beside $same->[0]");
    ($code) = run_program([$program, '--check-config', '--port', 7778, '--address', $same->[0], '--admin-address', $same->[1]]);
    is($code, 0, "$same->[1]: another port is allowed");
}
for my $other (['127.0.0.1', '127.0.0.2:7777'], ['0.0.0.0', '[::1]:7777'], ['::1', '127.0.0.1:7777'], ['::1', '0.0.0.0:7777'], ['::1', '[::2]:7777']) {
    my ($code) = run_program([$program, '--check-config', '--port', 7777, '--address', $other->[0], '--admin-address', $other->[1]]);
    is($code, 0, "$other->[1] can stand beside $other->[0]");
}
{
    my $taken = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
    my ($code, $out) = run_program([$program, '--port', 0, '--admin-address', '127.0.0.1:' . $taken->sockport]);
    is($code, 1, 'an address that is taken: exit 1');
    like($out, qr/ERROR cannot listen on 127\.0\.0\.1:\d+: Address (?:already )?in use\n|ERROR cannot bind 127\.0\.0\.1:\d+: Address (?:already )?in use\n/, 'an address that is taken: the reason');
}

# ---- in nobody's way -----------------------------------------------------------------------
# Fifty clients echo while scrapes come as fast as they may, others trickle, flood or read nothing.
group 'hostile scrapes beside 50 clients' => sub {
    my $s = start_server(@address, workers => 1);
    my $p = admin_port($s);
    my @storm;
    for my $kind ('scrape', 'idle', 'flood', 'deaf') {
        my $pid = fork // die;
        if ($pid == 0) {
            $SIG{TERM} = sub { POSIX::_exit(0) };
            for (;;) {
                my $socket = connect_to($p) or next;
                if ($kind eq 'scrape') { get($p, '/metrics') }
                elsif ($kind eq 'idle') { sleep 2 }
                elsif ($kind eq 'flood') { send_all($socket, 'z' x 65536) for 1 .. 20 }
                else { send_all($socket, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"); sleep 0.2; reset_connection($socket) }
            }
        }
        push @storm, $pid;
    }
    my ($code, $out) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$s->{port}", '--connections', 50, '--rate', '500', '--duration', '2s', '--json'], seconds => 30);
    kill 'TERM', @storm;
    waitpid $_, 0 for @storm;
    my $r = eval { decode_json($out) } // {};
    is($code, 0, 'the load ends with 0') or diag $out;
    is($r->{messages_lost}, 0, 'no message is lost');
    cmp_ok($r->{messages_echoed} // 0, '>', 500, 'messages were echoed');
    my $n = scrape($p, seconds => 20);
    is($n->{echo_server_connections}, 0, 'all 50 are gone');
    cmp_ok($n->{process_cpu_seconds_total}, '<', 2, 'it does not spin') if $Echolab::build eq 'build';
    is(stop_program($s), 0, 'exit 0');
};
done_testing;
