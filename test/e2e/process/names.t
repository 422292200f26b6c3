#!/usr/bin/perl
# Names: a name server that fails for IPv6 and answers for IPv4, answers that are cut, and what
# is no address. The name server is the test's own, in namespaces of its own.
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

enter_own_network(mounts => 1);

my $client = "$Echolab::build/echo-client";

# ---- an address with a scheme -----------------------------------------------------------------
for my $case (
    ['--server-address',     'tcp://server:12345', '--server-address'],
    ['--server-address',     'http://server:80',   '--server-address'],
    ['--server-address',     'tcp://[::1]:7',      '--server-address'],
    ['--server-address',     'echo://server',      '--server-address'],
    ['--load',               'tcp://server:12345', '--load'],
    ['CLI_SERVER_ADDRESS',   'tcp://10.0.0.1:7',   'CLI_SERVER_ADDRESS'],
    ['CLI_LOAD_TARGET',      'http://server:80/',  'CLI_LOAD_TARGET'],
) {
    my ($where, $value, $place) = @$case;
    my @how = $where =~ /^--/ ? ([$client, $where, $value]) : ([$client], env => { $where => $value });
    my ($code, $out, $err) = run_program(@how, seconds => 5);
    is($code, 2, "$where=$value: exit 2");
    my ($scheme) = $value =~ m{^(\w+)://};
    like($err, qr{^\Q$place\E: '\Q$value\E' begins with a scheme; allowed: (none, or )?host:port like }, "$where=$value: stderr says which part is wrong");
    is(scalar(() = $err =~ /\n/g), 1, "$where=$value: in one line");
}

# ---- the name server ----------------------------------------------------------------------------

my %flags = (good => 0x8180, cut => 0x8380, servfail => 0x8182, nxdomain => 0x8183, refused => 0x8185);

# What it looks like: RFC 1035, section 4. undef: it is silent.
sub reply_to {
    my ($question, $how, $is_whole) = @_;
    my ($name) = substr($question, 12) =~ /\A((?:[^\0].*?)?\0)/s;
    my $type = unpack 'n', substr $question, 12 + length $name, 2;
    my ($say, @addresses) = @{ $how->{ $type == 1 ? 'A' : 'AAAA' } };
    return undef if $say eq 'silent';
    my $reply = pack('n6', unpack('n', $question), $flags{ $is_whole && $say eq 'cut' ? 'good' : $say }, 1, scalar @addresses, 0, 0)
        . substr($question, 12, length($name) + 4);
    for (@addresses) {
        my $bytes = /:/ ? Socket::inet_pton(Socket::AF_INET6(), $_) : Socket::inet_aton($_);
        $reply .= pack('nnnNn', 0xc00c, $type, 1, 1, length $bytes) . $bytes;
    }
    return $reply;
}

# $how->{A} and $how->{AAAA}: [how it answers, addresses]. By TCP no answer is cut.
sub name_server {
    my ($how) = @_;
    my @at  = (LocalHost => '127.0.0.1', LocalPort => 53, ReuseAddr => 1);
    my $udp = IO::Socket::IP->new(@at, Proto => 'udp', Type => Socket::SOCK_DGRAM()) or die "port 53: $@";
    my $tcp = IO::Socket::IP->new(@at, Listen => 16) or die "port 53: $@";
    my $pid = fork // die;
    if ($pid == 0) {
        alarm 60;
        my $select = IO::Select->new($udp, $tcp);
        while (my @ready = $select->can_read) {
            if (grep { $_ == $udp } @ready) {
                my $from  = $udp->recv(my $question, 512);
                my $reply = reply_to($question, $how);
                $udp->send($reply, 0, $from) if defined $reply;
            } else {
                my $s = $tcp->accept or next;
                sysread $s, my $question, 512;
                my $reply = reply_to(substr($question, 2), $how, 1);
                syswrite $s, pack('n', length $reply) . $reply if defined $reply;
                close $s;
            }
        }
        POSIX::_exit(0);
    }
    return $Echolab::running{$pid} = { pid => $pid };
}

sub end_process { my ($p) = @_; kill 'KILL', $p->{pid}; exit_of($p) }

# Returns whether look-ups read this resolv.conf from now on.
sub use_name_server {
    my ($options) = @_;
    my $path = temp_dir() . '/resolv.conf';
    open my $file, '>', $path or die;
    print $file "nameserver 127.0.0.1\n$options";
    close $file;
    return 1 if slurp('/etc/resolv.conf') eq slurp($path);
    return system('mount', '--make-rprivate', '/') == 0 && system('mount', '--bind', $path, '/etc/resolv.conf') == 0;
}

SKIP: {
    skip 'glibc reads more than resolv.conf', 1 if $Echolab::build ne 'build';
    skip 'resolv.conf cannot be replaced',    1 if !use_name_server("");
    my $server = start_server();
    my $to     = "echo.test:$server->{port}";
    for my $how ('nxdomain', 'servfail', 'refused', 'silent') {
        my $dns = name_server({ A => ['good', '127.0.0.1'], AAAA => [$how] });
        my $t   = time;
        my ($code, $out) = run_program([$client, '--server-address', $to, '--count', 2, '--loop-period', '0s', '--timeout', '1s'], seconds => 15);
        my $took = time - $t;
        my $name = "AAAA: $how, A is good";
        is($code, 0, "$name: the loop ends with 0") or diag $out;
        like($out, qr/ 2 sent, 2 echoed, 0 lost/, "$name: the loop has all echoes");
        cmp_ok($took, '<', 2, sprintf "$name: two look-ups end within their timeouts of 1 s: %.2f s", $took);
        ($code, $out) = run_program([$client, '--load', $to, '--messages', 100, '--timeout', '1s', '--json'], seconds => 15);
        my $r = eval { decode_json($out) } // {};
        is("$code $r->{messages_echoed}", '0 100', "$name: a load has all echoes");
        cmp_ok($r->{resolve}{max_ns}, '<', 1e9, "$name: a load's look-up ends within its timeout");
        end_process($dns);
    }
    for my $how ('nxdomain', 'servfail', 'silent') {
        my $dns = name_server({ A => [$how], AAAA => [$how] });
        my $t   = time;
        my ($code, $out) = run_program([$client, '--server-address', $to, '--once', '--timeout', '600ms'], seconds => 15);
        is($code, 3, "A and AAAA: $how: exit 3");
        like($out, $how eq 'nxdomain' ? qr/not resolved: Name does not resolve/ : qr/not resolved: no answer from the name server in time/, "A and AAAA: $how: the log says why");
        cmp_ok(time - $t, '<', 3, "A and AAAA: $how: it ends at once or after the timeout");
        end_process($dns);
    }
    {
        my $dns = name_server({ A => ['silent'], AAAA => ['good', '::1'] });
        my ($code, $out) = run_program([$client, '--server-address', $to, '--once', '--timeout', '600ms'], seconds => 15);
        is($code, 3, 'A: silence, AAAA is good: exit 3, as musl needs both') or diag $out;
        end_process($dns);
        $dns = name_server({ A => ['good'], AAAA => ['good', '::1'] });
        ($code, $out) = run_program([$client, '--server-address', $to, '--once'], seconds => 15);
        is($code, 0, 'A: nothing, AAAA is good: exit 0') or diag $out;
        end_process($dns);
        # musl before 1.2.4 takes the addresses that there are, later ones ask again by TCP.
        $dns = name_server({ A => ['cut', map {"127.0.0.$_"} 1 .. 28], AAAA => ['good'] });
        ($code, $out) = run_program([$client, '--load', $to, '--messages', 100, '--json'], seconds => 15);
        my $r = eval { decode_json($out) } // {};
        is("$code $r->{messages_echoed}", '0 100', 'an answer that is cut, with addresses: exit 0') or diag $out;
        is(scalar @{ $r->{addresses} // [] }, 16, 'an answer that is cut: 16 addresses are used');
        end_process($dns);
        $dns = name_server({ A => ['good', '127.0.0.1'], AAAA => ['silent'] });
        my $loop = start_program([$client, '--server-address', $to, '--timeout', '10s']);
        sleep 0.5;
        my $t = time;
        kill 'TERM', $loop->{pid};
        exit_of($loop);
        cmp_ok(time - $t, '<', 3, 'a signal ends a look-up of both kinds at once');

        # The look-up of both kinds gives up while the load runs in its sandbox.
        use_name_server("options timeout:2 attempts:1\n");
        ($code, $out, my $err) = run_program([$client, '--load', $to, '--rate', 100, '--duration', '3s', '--timeout', '2s', '--json'],
            env => { CLI_SANDBOX => 'on' }, seconds => 15);
        is("$code $err", '0 ', 'AAAA: silence that ends within a load: the sandbox lets the look-up end');
        cmp_ok((eval { decode_json($out) } // {})->{messages_echoed} // 0, '>', 250, 'AAAA: silence that ends within a load: it goes on');
        end_process($dns);
    }
    # A load follows a name whose address changes.
    {
        my $port   = free_port();
        my $before = start_server(address => '127.0.0.1', port => $port);
        my $dns    = name_server({ A => ['good', '127.0.0.1'], AAAA => ['good'] });
        my $load   = start_program([$client, '--load', "echo.test:$port", '--connections', 4, '--rate', 200, '--duration', '4s', '--timeout', '1s', '--json'],
            env => { CLI_SANDBOX => 'on' });
        wait_for_log($before, qr/connection 4 from/);
        sleep 0.3;
        end_process($dns);
        my $after = start_server(address => '127.0.0.2', port => $port);
        $dns = name_server({ A => ['good', '127.0.0.2'], AAAA => ['good'] });
        is(stop_program($before), 0, 'a name with another address: the server of the first one ends with 0');
        is(exit_of($load, 15), 0, 'a name with another address: the load ends with 0') or diag slurp($load->{err});
        my $r = eval { decode_json(log_of($load)) } // {};
        is("$r->{messages_lost} $r->{messages_sent}", "0 $r->{messages_echoed}", 'a name with another address: nothing is lost');
        is(join(' ', map { $_->{address} } @{ $r->{addresses} }), "127.0.0.1:$port 127.0.0.2:$port", 'a name with another address: both are reported');
        cmp_ok($r->{addresses}[1]{messages_echoed}, '>', 100, 'a name with another address: messages go there');
        is($r->{moved}, 4, 'a name with another address: all connections moved') or diag explain $r->{errors};
        cmp_ok($r->{resolve}{count}, '<=', 6, 'a name with another address: at most one look-up a second');
        end_process($dns);
        stop_program($after);
    }
    stop_program($server);
}

done_testing;
