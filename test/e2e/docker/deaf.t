#!/usr/bin/perl
# 2,000 peers that send and never read, against the image in a container of 64 MiB with everything at
# its default: it lives, 50 steady clients lose nothing and do not wait, and peers that begin to read get
# every byte. test/fault/deaf.t has the same for the program and its own memory. FULL=1: 30 s, three cases.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use DeafPeers;
use Echolab;
use EcholabDocker;

plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;

my $image = 'echolab-test:deaf';
my ($built, $said) = command("tools/images.sh server=$image");
is($built, 0, 'the image is built') or diag $said;

my $many    = 2000;
my $seconds = $ENV{FULL} ? 30 : 10;
my $hearing = $many / 10;
# The kernel's buffers as the lab has them: they are counted in the container's memory, too.
my @sysctls = map { ('--sysctl', $_) } 'net.ipv4.tcp_rmem=4096 65536 262144', 'net.ipv4.tcp_wmem=4096 16384 262144';

# What is measured is how the server treats its clients, not who gets one of the few processors of this
# machine: the server and the steady clients come before the peers, who stand for other machines.
my @first = system('chrt -r 1 true 2>/dev/null') == 0 ? qw(chrt -r 1) : ();

# The container's process gets the same priority. (Where groups have shares of it, a container has none:
# its process goes to the group of all, of the CPU alone.)
sub prefer {
    my ($pid) = @_;
    my $group = '/sys/fs/cgroup/cpu/cgroup.procs';
    write_file($group, $pid) if -e $group;
    return system("chrt -a -r -p 1 $pid >/dev/null 2>&1") == 0;
}

sub p99_ms { my ($report) = @_; return ($report->{reply}{p99_ns} // 1e12) / 1e6 }

# The report of 50 clients that ran for so long.
sub steady_clients {
    my ($id, $to, $for_s) = @_;
    my $load = start_program([@first, "$Echolab::build/echo-client", '--load', "$to:12345", '--json', '--connections', 50, '--rate', 2000, '--duration', "${for_s}s"]);
    defined exit_of($load, $for_s + 60) or diag 'the load did not end';
    my $report = eval { decode_json(log_of($load)) } || {};
    return { %$report, code => $load->{code} };
}

my @cases = (['by default'], ['workers = 2', '--workers 2'], ['pending_memory = 0', '--pending-memory 0']);
for my $case ($ENV{FULL} ? @cases : $cases[0]) {
    my ($name, $arguments) = (@$case, '');
    $arguments .= ' --write-timeout 120s' if $seconds >= 30;    # the default would cut peers that take nothing for so long
    group "$many deaf peers in 64 MiB, $name" => sub {
        my ($id) = split ' ', run_docker('run', '-d', '--memory', '64m', '--memory-swap', '64m', @sysctls, $image, split ' ', $arguments);
        ok($id && wait_for(sub { logs_of($id) =~ /listening on/ }, 10), 'it listens');
        my ($to) = map { $_->{IPAddress} } values %{ inspect($id)->{NetworkSettings}{Networks} };
        my $is_first = @first && prefer(state_of($id)->{Pid}) or diag 'no real-time priority here: the peers are in the way of the clients';
        my $quiet = steady_clients($id, $to, 2);
        my $deaf = start_deaf(count => $many, host => $to, port => 12345, seconds => $seconds + 20, hearing => $hearing);
        is($deaf->{connected}, $many, 'all are connected');
        my $report = steady_clients($id, $to, $seconds);
        is($report->{code}, 0, '50 steady clients: exit 0');
        is($report->{messages_lost}, 0, '50 steady clients lose nothing');
        my ($limit, $slow) = (!$is_first ? 4000 : $ENV{FULL} ? 10 : 50, p99_ms($report));
        cmp_ok($slow, '<', $limit, sprintf '50 steady clients: p99 is %.2f ms, %.2f ms alone', $slow, p99_ms($quiet));
        my ($exact, @wrong) = hear($deaf);
        is("$exact @wrong[0 .. ($#wrong < 2 ? $#wrong : 2)]", "$hearing ", "$hearing begin to read: each gets every byte, exactly");
        stop_deaf($deaf);
        my $state = state_of($id);
        is("$state->{Status} $state->{OOMKilled} $state->{Pid}" =~ s/ [1-9]\d*$//r, 'running 0', 'it lives, and no process was killed for memory');
        system("docker rm -fv $id >/dev/null");
    };
}
system("docker rmi -f $image >/dev/null");
done_testing;

sub run_docker { open my $docker, '-|', 'docker', @_ or die; return join '', <$docker> }
