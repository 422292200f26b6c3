#!/usr/bin/perl
# A rolling restart: three servers behind one name are replaced, one after the other, again and
# again, under a load. SIGTERM loses nothing; kill -9 loses what was under way there.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

enter_own_network(mounts => 1);

my $is_short = $ENV{FAULT_CORE};
my $client   = "$Echolab::build/echo-client";
my $runs     = $ENV{ROLLING_RUNS} // ($is_short ? 1 : 10);
my @ends     = map {"127.0.0.$_"} 1 .. 3;

my $hosts = write_file(temp_dir() . '/hosts', join '', "127.0.0.1 localhost\n", map {"$_ three.example\n"} @ends);
plan(skip_all => 'no hosts file of our own')
    if system('mount', '--make-rprivate', '/') != 0 || system('mount', '--bind', $hosts, '/etc/hosts') != 0;

my $port = free_port();

# One that listens; its log is too short to tell, so a connect does.
sub start_one {
    my ($address) = @_;
    my $server = start_program(["$Echolab::build/echo-server", '--address', $address, '--port', $port, '--log-level', 'warn', '--drain-timeout', '10s']);
    wait_for(sub { IO::Socket::IP->new(PeerHost => $address, PeerPort => $port) }) or die "no server at $address";
    return $server;
}

sub start_load {
    my (@how) = @_;
    return start_program([$client, '--load', "three.example:$port", '--connections', 50, '--json', '--timeout', '20s', @how]);
}

# Waits until there were connections to each address. Returns whether there were.
sub wait_for_connections {
    my %at;
    return wait_for(sub {
        $at{$_} = 1 for slurp('/proc/net/tcp') =~ /^ *\d+: \S+ (\w+):@{[sprintf '%04X', $port]} 01 /gm;
        return keys %at == @ends;
    });
}

sub sum { my ($kinds) = @_; my $sum = 0; $sum += $_ for values %$kinds; return $sum }

# Replaces one after the other until the load ends. Returns how many, and their exit codes that
# are not 0.
sub roll {
    my ($load, $servers, $is_brief) = @_;
    my ($count, @wrong) = (0);
    # Short connections leave so many entries in the kernel's table that it says nothing in time.
    $is_brief ? sleep 0.3 : wait_for_connections() or return (0, 'the load does not begin');
    sleep 0.1;
    while (!defined exit_of($load, 0.05)) {
        my $next = $count++ % @ends;
        my $code = stop_program($servers->[$next], 20) // 'none';
        push @wrong, $code if $code ne '0';
        $servers->[$next] = start_one($ends[$next]);
    }
    return ($count, @wrong);
}

my @cases = (
    ['a closed loop of 64 B',     1_000_000, 200_000, '--size', 64],
    ['a closed loop of 1 MiB',    10_000,    6000,    '--size', '1MiB'],
    ['an open loop',              100_000,   10_000,  '--rate', 5000],
    ['two threads',               1_000_000, 200_000, '--threads', 2],
    ['a connection each message', 200_000,   40_000, '--reconnect'],
);
for my $case (@cases) {
    my ($name, $whole, $short, @how) = @$case;
    next if $ENV{ROLLING_ONLY} && $name !~ /$ENV{ROLLING_ONLY}/;
    for my $run (1 .. $runs) {
        group "$name, run $run" => sub {
            my $messages = $is_short ? $short : $whole;
            my @servers  = map { start_one($_) } @ends;
            my $load     = start_load('--messages', $messages, '--duration', '0s', @how);
            my ($stops, @wrong) = roll($load, \@servers, $how[0] eq '--reconnect');
            my $r = eval { decode_json(log_of($load)) } // {};
            is($load->{code}, 0, 'exit 0') or diag slurp($load->{err});
            is("$r->{messages_echoed} $r->{messages_lost}", "$messages 0", 'every message is echoed, none is lost') or diag slurp($load->{err});
            # A connect that meets the listener while it closes is reset before it sent anything.
            my $met = $how[0] eq '--reconnect' && $r->{errors}{reset} <= $stops ? $r->{errors}{reset} : 0;
            note "$met connects met a listener that closed" if $met;
            is(sum($r->{errors}) - $met, 0, 'there are no errors') or diag explain $r->{errors};
            cmp_ok($stops, '>=', 3, 'each server was replaced');
            cmp_ok($r->{moved}, '>', 0, 'connections moved');
            is("@wrong", '', 'each server ends with 0');
            note(sprintf '%d stops, %d moved, %d connects, %.1f s, %d/s, p99 %.1f ms, max %.1f ms', $stops, $r->{moved}, $r->{connects},
                $r->{measured_ns} / 1e9, $r->{messages_per_s}, $r->{reply}{p99_ns} / 1e6, $r->{reply}{max_ns} / 1e6);
            is(stop_program($_, 20), 0, 'one that served to the end ends with 0') for @servers;
        };
    }
}

# One that dies: what was under way on its connections is lost, and nothing else.
group 'kill -9 of one of three' => sub {
    my @servers = map { start_one($_) } @ends;
    my $load    = start_load('--duration', '3s');
    wait_for_connections();
    sleep 0.5;
    kill 'KILL', $servers[1]{pid};
    exit_of($servers[1]);
    sleep 0.5;
    $servers[1] = start_one($ends[1]);
    my $code = exit_of($load, 20);
    my $r    = eval { decode_json(log_of($load)) } // {};
    my %of   = map { $_->{address} =~ s/:.*//r => $_ } @{ $r->{addresses} };
    cmp_ok($r->{messages_lost}, '<=', 17, 'a message of each connection there is lost at most');
    is($r->{messages_echoed} + $r->{messages_lost}, $r->{messages_sent}, 'each message is echoed or lost');
    is($code, $r->{messages_lost} > 0 ? 7 : 0, 'the exit code tells whether one was lost');
    is("$of{$ends[0]}{errors} $of{$ends[2]}{errors}", '0 0', 'the others have no errors') or diag explain $r;
    cmp_ok($of{ $ends[1] }{errors}, '>=', $r->{messages_lost}, 'its own are told');
    is(stop_program($_, 20), 0, 'SIGTERM ends the servers with 0') for @servers;
};

done_testing;
