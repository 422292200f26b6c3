#!/usr/bin/perl
# A listening socket that the service manager passes (sd_listen_fds(3)) is used instead of a new one,
# so that a restart refuses no connection.
use strict;
use warnings;
use Fcntl qw(F_GETFD F_SETFD FD_CLOEXEC);
use JSON::PP;
use Socket qw(:all);
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

my $server = "$Echolab::build/echo-server";

# A socket that programs inherit.
sub open_socket {
    my ($family, $type, $listens) = @_;
    socket my $s, $family, $type, 0 or die "socket: $!";
    bind $s, $family == AF_UNIX ? pack_sockaddr_un(temp_dir() . '/socket' . fileno $s) : pack_sockaddr_in(0, INADDR_LOOPBACK) or die "bind: $!";
    listen $s, 128 or die "listen: $!" if $listens;
    fcntl $s, F_SETFD, (fcntl $s, F_GETFD, 0) & ~FD_CLOEXEC or die "fcntl: $!";
    return $s;
}

# A command that begins with what a service manager does between fork() and exec().
my $pass = 'use POSIX; my ($fd, $count, $pid) = splice @ARGV, 0, 3; $fd eq "-" ? POSIX::close(3) : dup2($fd, 3); @ENV{qw(LISTEN_FDS LISTEN_PID)} = ($count, $pid eq "own" ? $$ : $pid); exec @ARGV or die';
sub passing { my ($socket, $count, $pid) = @_; return ('perl', '-e', $pass, defined $socket ? fileno $socket : '-', $count, $pid // 'own') }

sub port_of { my ($socket) = @_; return (unpack_sockaddr_in(getsockname $socket))[0] }

sub start_passing {
    my ($socket) = @_;
    my $s = start_program([passing($socket, 1), $server, '--address', '127.0.0.1', '--port', free_port()]);
    wait_for_log($s, qr/listening on/);
    return $s;
}

my $listener = open_socket(AF_INET, SOCK_STREAM, 1);
my $port     = port_of($listener);

group 'a listener that is passed' => sub {
    my $s = start_passing($listener);
    ok(wait_for_log($s, qr/listening on 127\.0\.0\.1:$port\n/), 'it is the one that is used');
    is(echo_of(connect_to($port), 'hello'), 'hello', 'it echoes');
    my $urgent = connect_to($port);
    send $urgent, 'a!', MSG_OOB;
    is(receive($urgent, 2), 'a!', 'its connections inherit what those of an own listener do');
    close $urgent;
    is(stop_program($s), 0, 'SIGTERM: exit 0');
    ok(connect_to($port), 'the next connection waits for the next server');
};

group 'restarts under load' => sub {
    my $s    = start_passing($listener);
    my $load = start_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$port", '--connections', 10, '--reconnect', '--retry', '0s', '--duration', '4s', '--json']);
    for (1 .. 4) {
        sleep 0.6;
        is(stop_program($s), 0, 'SIGTERM: exit 0');
        $s = start_passing($listener);
    }
    my $code = exit_of($load, 30);
    my $r    = decode_json(log_of($load));
    is($code, 0, 'the load ends with 0');
    is("$r->{messages_lost} $r->{errors}{refused}", '0 0', "none of $r->{messages_sent} messages is lost, each with a connection of its own; none is refused");
    stop_program($s);
};

group 'what was passed to another process' => sub {
    my $own = free_port();
    my $s   = start_program([passing($listener, 1, 1), $server, '--address', '127.0.0.1', '--port', $own]);
    ok(wait_for_log($s, qr/listening on 127\.0\.0\.1:$own\n/), 'is not taken');
    is(stop_program($s), 0, 'SIGTERM: exit 0');
};

for my $case (
    ['two sockets',                         $listener,                              2],
    ['no number',                           $listener,                              'x'],
    ['bytes that do not print',             $listener,                              "2\n\xff", '2\n\xff'],
    ['no descriptor 3',                     undef,                                  1],
    ['a UDP socket',                        open_socket(AF_INET, SOCK_DGRAM, 0),    1],
    ['a TCP socket that does not listen',   open_socket(AF_INET, SOCK_STREAM, 0),   1],
    ['a listening UNIX socket',             open_socket(AF_UNIX, SOCK_STREAM, 1),   1],
) {
    my ($name, $socket, $count, $shown) = (@$case, $case->[2]);
    my ($code, $out, $err) = run_program([passing($socket, $count), $server, '--port', 0], seconds => 10);
    is($code, 2, "$name: exit 2");
    like($out, qr/^\S+ \S+ ERROR LISTEN_FDS=\Q$shown\E: descriptor 3 is taken as listener; allowed: 1, a listening TCP socket\n\z/, "$name: it says what is allowed");
}

group 'systemd-socket-activate' => sub { SKIP: {
    skip 'systemd-socket-activate is not installed', 1 if system('command -v systemd-socket-activate >/dev/null') != 0;
    my $at = free_port();
    my $s  = start_program(['systemd-socket-activate', '-l', "127.0.0.1:$at", $server, '--port', free_port()]);
    my $c;
    ok(wait_for(sub { $c = connect_to($at) }), 'it listens');
    is(echo_of($c, 'hello'), 'hello', 'the server that it starts echoes');
    close $c;
    is(stop_program($s), 0, 'SIGTERM: exit 0');
} };
done_testing;
