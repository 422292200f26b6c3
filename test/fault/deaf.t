#!/usr/bin/perl
# Peers that send and never read: memory stays within the formula, whatever they do, other
# clients lose nothing and do not wait, and a peer that begins to read gets every byte.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use DeafPeers;
use Echolab;

plan skip_all => 'memory is measured of the programs as shipped' if $Echolab::build ne 'build';
enter_own_network();
# The kernel's buffers as the lab has them: then the server's own are what grows.
system(q(sysctl -qw net.ipv4.tcp_rmem='4096 65536 262144' net.ipv4.tcp_wmem='4096 16384 262144')) == 0
    or plan skip_all => 'no sysctl of the network here';

my $many    = $ENV{FAULT_CORE} ? 400 : 2000;
my $seconds = $ENV{FAULT_CORE} ? 6 : 30;
my $hearing = $many / 10;

# With a base of at most 136 KiB, see memory.t; the log's buffer and tables touched in part.
sub formula_kib { my ($pending_kib, $workers) = @_; return 136 + ($many + 60) * 49 / 1024 + $pending_kib + $workers * (256 + 64) + 64 }

# What is measured is how the server treats its clients, not who gets one of the few processors of
# this machine: the server and the steady clients come before the peers, who stand for others.
my @first = system('chrt -r 1 true 2>/dev/null') == 0 ? ('chrt', '-r', '1') : ();
diag 'no real-time priority here: the peers are in the way of the clients' if !@first;

# 50 clients for so long: their report, and the most KiB that the server had resident.
sub steady_clients {
    my ($server, $for_s) = @_;
    my $load = start_program([@first, "$Echolab::build/echo-client", '--load', "127.0.0.1:$server->{port}", '--json', '--connections', 50, '--rate', 2000, '--duration', "${for_s}s"]);
    my $most = 0;
    while (!defined exit_of($load, 0.2)) { my $kib = rss_kib($server->{pid}); $most = $kib if $kib > $most }
    return ({ %{ decode_json(log_of($load) || '{}') }, code => $load->{code} }, $most);
}

sub p99_ms { my ($report) = @_; return ($report->{reply}{p99_ns} // 1e12) / 1e6 }

# One flood: what is judged, and the steady clients' p99 in ms, in it and before it.
sub flood {
    my ($pending, $pending_kib, $workers) = @_;
    my $server = start_server('pending-memory' => $pending, workers => $workers, 'write-timeout' => '120s',
        _wrap => [@first, 'prlimit', '--nofile=20000:20000']);
    my ($quiet) = steady_clients($server, 2);
    my $deaf = start_deaf(count => $many, port => $server->{port}, seconds => $seconds + 20, hearing => $hearing);
    is($deaf->{connected}, $many, 'all are connected');
    my ($report, $most) = steady_clients($server, $seconds);
    is($report->{code}, 0, '50 steady clients: exit 0');
    is($report->{messages_lost}, 0, '50 steady clients lose nothing');
    my $allowed = formula_kib($pending_kib, $workers);
    cmp_ok($most, '<=', $allowed, sprintf 'at most %d KiB are resident, within %d', $most, $allowed);
    my ($exact, @wrong) = hear($deaf);
    is("$exact @wrong[0 .. ($#wrong < 2 ? $#wrong : 2)]", "$hearing ", "$hearing begin to read: each gets every byte, exactly");
    stop_deaf($deaf);
    is(stop_program($server, 20), 0, 'SIGTERM: exit 0');
    return (p99_ms($report), p99_ms($quiet));
}

for my $case (['16MiB', 16384, 1], ['1MiB', 1024, 2], ['0', 0, 1], ['0', 0, 2]) {
    my ($pending, undef, $workers) = @$case;
    group "$many deaf peers, pending_memory $pending, $workers worker(s)" => sub {
        my ($slow, $alone) = flood(@$case);
        my $limit = @first ? 10 : 1000;
        cmp_ok($slow, '<', $limit, sprintf '50 steady clients: p99 is %.2f ms, %.2f ms alone', $slow, $alone);
    };
}
done_testing;
