#!/usr/bin/perl
# The first bytes of a connection: the question for the server's identity and the PROXY header, in
# pieces, wrong, late, at the limits and while draining; what is neither is echoed exactly. haproxy,
# nginx and curl send headers, and so does our client.
use strict;
use warnings;
use Socket qw(:all);
use Test::More;
use Time::HiRes qw(sleep time);
use AdminPages;
use Echolab;

my $question  = "\5echolab: who?\r\n";
my $signature = "\r\n\r\n\0\r\nQUIT\n";
my $version   = qx($Echolab::build/echo-server --version) =~ s/.*?(\d\S*).*/$1/sr;

# A header of version 2: command and family, block and TLVs.
sub v2 { my ($kind, $block) = @_; return $signature . pack('n n/a*', $kind, $block) }

# The block of 203.0.113.7:4711 to 192.0.2.1:12345.
my $v4 = pack 'C8 n n', 203, 0, 113, 7, 192, 0, 2, 1, 4711, 12345;
my $v6 = pack 'H32 H32 n n', '20010db8' . '0' x 23 . '1', '20010db8' . '0' x 23 . '2', 4712, 12345;
my $line = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 12345\r\n";

sub crc32c {
    my ($bytes) = @_;
    my $crc = 0xffffffff;
    for my $byte (unpack 'C*', $bytes) {
        $crc ^= $byte;
        $crc = $crc & 1 ? $crc >> 1 ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
    }
    return $crc ^ 0xffffffff;
}

sub with_checksum {
    my ($kind, $block) = @_;
    my $header = v2($kind, $block . "\3\0\4" . "\0" x 4);
    substr($header, -4) = pack 'N', crc32c($header);
    return $header;
}

# Sends the bytes in pieces of so many.
sub send_pieces {
    my ($socket, $bytes, $size, $pause) = @_;
    for (unpack "(a$size)*", $bytes) { send_all($socket, $_); sleep($pause // 0.005) }
    return;
}

# What comes back for these bytes and our end of stream.
sub talk {
    my ($server, $bytes) = @_;
    my $socket = connect_to($server->{port});
    send_all($socket, $bytes);
    half_close($socket);
    return receive_until_eof($socket);
}

group 'identity' => sub {
    my $server = start_server(identity => 'on', name => 'web-1', 'drain-timeout' => '2s');
    my $answer = "web-1 $version 1\n";
    is(talk($server, $question . 'hello'), $answer . 'hello', 'the question is answered, what follows is echoed');
    is(talk($server, $question), $answer, 'nothing follows');
    is(talk($server, $question . $question), $answer . $question, 'asked twice, the second is echoed');
    is(talk($server, ''), '', 'nothing is sent unasked');
    for my $size (1, 5, 15) {
        my $socket = connect_to($server->{port});
        send_pieces($socket, $question, $size);
        is(receive($socket, length $answer), $answer, "in pieces of $size it is answered");
        is(echo_of($socket, 'x' x 1000), 'x' x 1000, '... and then it echoes');
    }
    for my $text ('plain', "\5", "\5echolab: who\r\n", substr($question, 0, 15) . 'x', "x$question", uc $question, "\n$question") {
        is(talk($server, $text), $text, 'echoed exactly: ' . ($text =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger));
    }
    my $wrong = grep { my $text = substr($question, 0, $_) . 'z'; talk($server, $text . 'tail') ne $text . 'tail' } 0 .. 15;
    is($wrong, 0, 'and wrong at each of its bytes');

    my $socket = connect_to($server->{port});
    send_all($socket, substr $question, 0, 9);
    is(receive($socket, 1, 0.2), '', 'a part of it is held back');
    send_all($socket, 'z' . 'tail');
    is(receive($socket, 14), substr($question, 0, 9) . 'ztail', '... until it is none');
    my $start = time;
    is(echo_of(my $part = connect_to($server->{port}), "\5ech"), "\5ech", 'a message that is a part of it');
    cmp_ok(time - $start, '<', 1.5, '... comes back after half a second');
    is(echo_of($part, $question), $question, '... and the question is none any more');

    $socket = connect_to($server->{port});
    my $cpu = cpu_seconds($server->{pid});
    send_all($socket, "\5e");
    sleep 0.4;
    cmp_ok(cpu_seconds($server->{pid}) - $cpu, '<', 0.1, 'a part of it makes no loop spin');
    send_all($socket, 'rest');

    my @waiting = map { connect_to($server->{port}) } 1 .. 3;
    send_all($waiting[1], "\5ec");
    send_all($waiting[2], $question);
    is(receive($waiting[2], length $answer), $answer, 'before a drain');
    kill 'TERM', $server->{pid};
    wait_for_log($server, qr/stopping/);
    is(receive_until_eof($waiting[0]), '', 'a drain ends the silent one');
    is(receive_until_eof($waiting[1]), "\5ec", 'and echoes a part of the question first');
    close $_ for @waiting, $socket, $part;
    is(exit_of($server), 0, 'exit 0');
    is(slurp($server->{err}), '', 'and nothing on stderr');
};

group 'the host\'s name' => sub {
    my $server = start_server(identity => 'on', workers => 3);
    my $host   = (POSIX::uname())[1];
    my @answers = map { talk($server, $question) } 1 .. 3;
    is(join('', sort @answers), join('', map { "$host $version $_\n" } 1 .. 3), 'it is told, and each worker its number');
    is(stop_program($server), 0, 'exit 0');
};

group 'off' => sub {
    my $server = start_server();
    is(talk($server, $question . 'x'), $question . 'x', 'the question is echoed');
    is(talk($server, $line . 'x'), $line . 'x', 'and so is a header');
    stop_program($server);
};

group 'PROXY protocol' => sub {
    my $server = start_server('proxy-protocol' => 'required', identity => 'on', name => 'web-1', 'admin-address' => '127.0.0.1:0');
    my $admin  = admin_port($server);
    my $answer = "web-1 $version 1\n";
    my %good   = (
        'version 1'               => [$line, '203.0.113.7:4711'],
        'version 1, TCP6'         => ["PROXY TCP6 2001:db8::1 2001:db8::2 4712 12345\r\n", '[2001:db8::1]:4712'],
        'UNKNOWN'                 => ["PROXY UNKNOWN\r\n"],
        'version 2'               => [v2(0x2111, $v4), '203.0.113.7:4711'],
        'version 2, TCP6'         => [v2(0x2121, $v6), '[2001:db8::1]:4712'],
        'version 2, TLVs'         => [v2(0x2111, "$v4\4\0\0\1\0\2h2"), '203.0.113.7:4711'],
        'version 2, a checksum'   => [with_checksum(0x2111, "$v4\4\0\1z"), '203.0.113.7:4711'],
        'version 2, LOCAL'        => [v2(0x2000, '')],
        'version 2, UNIX'         => [v2(0x2131, "/\0" x 108)],
        'version 2, 4,096 bytes'  => [v2(0x2111, $v4 . "\4" . pack 'n/a*', 'x' x 4065), '203.0.113.7:4711'],
    );
    my ($number, @told) = (0);
    for my $name (sort keys %good) {
        my ($header, $client) = @{ $good{$name} };
        is(talk($server, $header . 'hello'), 'hello', "$name: what follows is echoed");
        is(talk($server, $header . $question . 'hello'), $answer . 'hello', "$name: the question may follow");
        my $socket = connect_to($server->{port});
        send_pieces($socket, $header, length $header > 300 ? 999 : 7, 0.001);
        is(echo_of($socket, 'pieces'), 'pieces', "$name: in pieces");
        push @told, map { defined $client ? ($_ => $client) : () } $number + 1 .. $number + 3;
        $number += 3;
    }
    my @seen = log_of($server) =~ /connection (\d+) is from (\S+) by its PROXY header/g;
    is("@seen", "@told", 'the log has the address of each that has one');

    my %wrong = (
        'no header'         => ['hello', 0],
        'the question'      => [$question, 0],
        'a wrong port'      => ["PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\nhello", 29],
        'an early end'      => ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2\nhello\r\n", 29],
        'a wrong command'   => ["$signature\x22\x11\0\0", 12],
        'a wrong family'    => ["$signature\x21\x41\0\0", 13],
        'a short block'     => [v2(0x2111, 'short'), 14],
        'a wrong TLV'       => [v2(0x2111, "$v4\4\0\5z"), 28],
        'a wrong checksum'  => [with_checksum(0x2111, $v4) =~ s/(.)\z/$1 ^ "\1"/ser, 31],
        'a changed address' => [with_checksum(0x2111, $v4) =~ s/\xcb/\xcc/r, 31],
    );
    for my $name (sort keys %wrong) {
        my ($bytes, $at) = @{ $wrong{$name} };
        is(talk($server, $bytes), '', "$name: closed");
        $number++;
        ok(wait_for_log($server, qr/ WARN  connection $number: wrong PROXY header at byte $at of \d+: .*\n.* INFO  connection $number closed: PROXY header, 0 bytes echoed/), '... with its offset in the log')
            or diag((log_of($server) =~ /.*connection $number.*/g)[-1]);
    }
    is(talk($server, ''), '', 'a check that only connects is closed');
    $number++;
    ok(wait_for_log($server, qr/ INFO  connection $number closed: peer ended it/), '... and no mistake');

    my @late = (connect_to($server->{port}), connect_to($server->{port}));
    my $cpu   = cpu_seconds($server->{pid});
    my $start = time;
    send_all($late[1], substr $line, 0, 20);
    is(receive_until_eof($late[0], 6), '', 'no header: closed');
    is(receive_until_eof($late[1], 6), '', 'a part of one: closed');
    my $took = time - $start;
    ok($took > 2.9 && $took < 5, sprintf '... after 3 s (%.2f s)', $took);
    cmp_ok(cpu_seconds($server->{pid}) - $cpu, '<', 0.3, '... without spinning');
    ok(wait_for_log($server, qr/wrong PROXY header at byte 20 of 20: /), 'the log has how much there was');
    $number += 2;

    my $series = scrape($admin);
    is($series->{'echo_server_connections_closed_total{reason="PROXY header"}'}, 2 + keys %wrong, 'the wrong and the late ones are counted');
    my $echoed = keys(%good) * length 'hellohellopieces';
    is($series->{echo_server_received_bytes_total}, $echoed, 'received bytes are those behind the preamble');
    is($series->{echo_server_connections_accepted_total}, $number, 'all are counted');
    my ($code, $out) = run_program(["$Echolab::build/echo-server", '--healthcheck', '--port', $server->{port}]);
    is("$code $out", "0 healthy\n", 'the health check needs no header');
    is(stop_program($server), 0, 'exit 0: none was cut');
    is(slurp($server->{err}), '', 'and nothing on stderr');
};

group 'limits' => sub {
    my $server = start_server('proxy-protocol' => 'required', 'max-connections' => 2, workers => 2);
    my @silent = map { connect_to($server->{port}) } 1 .. 2;
    wait_for_log($server, qr/connection 2 from/);
    my $third = connect_to($server->{port});
    send_all($third, $line . 'third');
    is(receive($third, 1, 1), '', 'a full table of silent ones: the next one waits');
    is(receive($third, 5, 6), 'third', '... until their time is up');
    @silent = map { connect_to($server->{port}) } 1;
    my $start = time;
    kill 'TERM', $server->{pid};
    is(receive_until_eof($silent[0]), '', 'a drain ends a silent one');
    cmp_ok(time - $start, '<', 2, '... before its time is up');
    close $_ for @silent, $third;
    is(exit_of($server), 0, 'exit 0');
};

group 'our client' => sub {
    my $server = start_server('proxy-protocol' => 'required', identity => 'on', name => 'web-1', workers => 2);
    for my $how (['v1', '127.0.0.1'], ['v2', '127.0.0.1'], ['v1', '[::1]'], ['v2', '[::1]']) {
        my ($proxy, $host) = @$how;
        my ($code, $out) = run_program(["$Echolab::build/echo-client", "$host:$server->{port}", '--once', '--identity', 'ask', '--proxy-protocol', $proxy]);
        is($code, 0, "$proxy from $host: echoed");
        like($out, qr/server \Q$host:$server->{port}\E is web-1 \Q$version\E [12]$/m, '... and the server is known');
        my ($peer, $client) = log_of($server) =~ /from (\S+) accepted\n(?:.*\n)*?.* is from (\S+) by its PROXY header\n(?!.* is from )/;
        my @peers = log_of($server) =~ /from (\S+) accepted/g;
        my @told  = log_of($server) =~ /is from (\S+) by/g;
        is($told[-1], $peers[-1], '... and the header has its real address');
    }
    for my $how ([], ['--pipeline', 4], ['--reconnect'], ['--rate', 500], ['--rate', 200, '--reconnect'], ['--size', 1], ['--size', '300KiB']) {
        my ($code, $out, $err) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$server->{port}", '--connections', 10, '--messages', 100,
                '--identity', 'ask', '--proxy-protocol', 'v2', '--log-level', 'debug', '--json', @$how]);
        is($code, 0, "a load: @$how");
        like($out, qr/"messages_echoed":\s*100\b/, '... all is echoed');
        my %names = map { $_ => 1 } $err =~ / is web-1 \Q$version\E ([12])$/mg;
        is(join(' ', sort keys %names), '1 2', '... by both workers, as their answers say');
    }
    stop_program($server);
    my $plain = start_server();
    my ($code, $out) = run_program(["$Echolab::build/echo-client", "127.0.0.1:$plain->{port}", '--once', '--identity', 'ask']);
    is($code, 0, 'a server that knows no question: echoed');
    like($out, qr/server \S+ is \?$/m, '... without a name');
    ($code, $out) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$plain->{port}", '--connections', 5, '--messages', 50, '--identity', 'ask', '--quiet']);
    is($code, 0, '... and so is a load');
    stop_program($plain);
    my $odd = odd_server(sub { my ($s) = @_; sysread $s, my $bytes, 100; syswrite $s, "hello\n"; sleep 0.2 });
    ($code, $out) = run_program(["$Echolab::build/echo-client", "127.0.0.1:$odd->{port}", '--once', '--identity', 'ask']);
    is($code, 6, 'an answer that is none is a reply that differs');
    like($out, qr/differs: its first line is no identity/, '... in words');
    ($code) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$odd->{port}", '--connections', 1, '--messages', 1, '--identity', 'ask', '--quiet']);
    is($code, 6, '... in a load, too');
};

# ---- real senders ----------------------------------------------------------------------------

# A program that listens on $port at 127.0.0.1 in the foreground.
sub start_proxy {
    my ($port, @command) = @_;
    my $program = start_program([@command]);
    return $program if wait_for(sub { connect_to($port, timeout => 1) }, 10);
    BAIL_OUT("@command: " . log_of($program) . slurp($program->{err}));
}

sub through {
    my ($name, $proxy_port, $server) = @_;
    my $socket = connect_to($proxy_port);
    my $own    = '127.0.0.1:' . $socket->sockport;
    is(echo_of($socket, 'through'), 'through', "$name: echoed");
    ok(wait_for_log($server, qr/ is from \Q$own\E by its PROXY header/), '... and the log has our address');
    close $socket;
    return;
}

group 'haproxy' => sub {
    SKIP: {
        my ($haproxy) = grep { -x } '/usr/sbin/haproxy', '/usr/local/sbin/haproxy';
        skip 'no haproxy here', 1 if !defined $haproxy;
        my $server = start_server('proxy-protocol' => 'required');
        my %how = (v1 => 'send-proxy', v2 => 'send-proxy-v2', checksum => 'send-proxy-v2 proxy-v2-options crc32c,unique-id,authority',
            'health checks' => 'send-proxy-v2 check inter 50ms');
        my (%port, $text);
        for my $name (sort keys %how) {
            $port{$name} = free_port();
            $text .= "listen l$port{$name}\n bind 127.0.0.1:$port{$name}\n unique-id-format %{+X}o%ci\n server s 127.0.0.1:$server->{port} $how{$name}\n";
        }
        my $file = write_file(temp_dir() . '/haproxy.cfg', "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n$text");
        my $haproxy_program = start_proxy((values %port)[0], $haproxy, '-f', $file, '-db');
        wait_for(sub { connect_to($_) }) for values %port;
        through($_, $port{$_}, $server) for sort keys %how;
        sleep 0.3;
        unlike(log_of($server), qr/wrong PROXY header/, 'no header was wrong, health checks\' neither');
        stop_program($haproxy_program);
        stop_program($server);
    }
};

group 'nginx' => sub {
    SKIP: {
        my ($module) = grep { -e } '/usr/lib/nginx/modules/ngx_stream_module.so';
        skip 'no nginx with stream here', 1 if !-x '/usr/sbin/nginx' || !defined $module;
        my $server = start_server('proxy-protocol' => 'required');
        my $port   = free_port();
        my $dir    = temp_dir();
        my $file   = write_file("$dir/nginx.conf", "load_module $module;\nuser root;\ndaemon off;\npid $dir/nginx.pid;\nerror_log $dir/nginx.log;\n"
                . "events { }\nstream { server { listen 127.0.0.1:$port; proxy_pass 127.0.0.1:$server->{port}; proxy_protocol on; } }\n");
        my $nginx = start_proxy($port, '/usr/sbin/nginx', '-p', $dir, '-c', $file, '-e', "$dir/nginx.log");
        through('stream', $port, $server);
        unlike(log_of($server), qr/wrong PROXY header/, 'no header was wrong');
        stop_program($nginx);
        stop_program($server);
    }
};

group 'curl' => sub {
    SKIP: {
        skip 'no curl here', 1 if !has_command('curl');
        my $server = start_server('proxy-protocol' => 'required');
        # What it takes for an answer is its own request.
        my (undef, $out) = run_program(['curl', '-s', '--http0.9', '--haproxy-protocol', '--max-time', 1, "http://127.0.0.1:$server->{port}/x"]);
        like($out, qr{^GET /x HTTP/1}, 'its request is echoed');
        like(log_of($server), qr/connection 1 from (\S+) accepted\n.* connection 1 is from \1 by its PROXY header/, '... and the log has its address');
        stop_program($server);
    }
};
done_testing;
