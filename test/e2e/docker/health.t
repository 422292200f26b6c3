#!/usr/bin/perl
# Healthy means: it serves. The image's own check, run by Docker as it stands in the image, is
# right however the server was started, and whatever its clients do.
use strict;
use warnings;
use Test::More;
use Echolab;
use EcholabDocker;

my ($network, @started) = ("echolab-test-health-$$");
plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;

my $image = 'echolab-test:health';
my ($built, $said) = command("tools/images.sh server=$image");
is($built, 0, 'the image is built') or diag $said;
my @check = map { "'$_'" } @{ (inspect($image)->{Config}{Healthcheck}{Test} // [])}[1 .. 2];

# docker run with these options and arguments: its id, once it listens.
sub run {
    my ($options, $arguments) = @_;
    my ($id) = `docker run -d --health-interval 1h $options $image --log-level debug $arguments` =~ /^(\w+)$/ or die;
    push @started, $id;
    wait_for(sub { logs_of($id) =~ /listening on/ }, 10) or diag logs_of($id);
    return $id;
}

# What Docker would do: the check of the image, inside the container.
sub check { my ($id) = @_; my $out = `docker exec $id @check 2>&1`; return ($? >> 8) . " $out" }
sub address_of { my ($id) = @_; return (values %{ inspect($id)->{NetworkSettings}{Networks} })[0]{IPAddress} }
# The server's process, also behind an init.
sub pid_of { my ($id) = @_; my $pid = state_of($id)->{Pid}; return (split ' ', slurp("/proc/$pid/task/$pid/children"))[0] // $pid }

system("docker network create $network >/dev/null") == 0 or die;
my $dir = temp_dir();
chmod 0755, $dir;
write_file("$dir/my.ini", "[server]\nport = 4321\naddress = 0.0.0.0\n");
chmod 0644, "$dir/my.ini";

my %how = (
    'by default'                 => ["--network $network", ''],
    'a port as an argument'      => ["--network $network", '--port 7777'],
    'a file as an argument'      => ["--network $network -v $dir/my.ini:/my.ini:ro", '-c /my.ini'],
    'a port by the kernel'       => ["--network $network", '--port 0'],
    'a port from the environment, another as an argument' => ["--network $network -e SERVER_PORT=5555", '--port 6666'],
    'an init in front'           => ["--network $network --init", '--port 7778'],
    'several workers'            => ["--network $network", '--workers 3'],
    'no network at all'          => ['--network none', ''],
    'bindv6only'                 => ["--network $network --sysctl net.ipv6.bindv6only=1", ''],
    'no IPv6'                    => ["--network $network --sysctl net.ipv6.conf.all.disable_ipv6=1", ''],
    'loopback only'              => ["--network $network", '--address 127.0.0.1'],
);
for my $name (sort keys %how) {
    group $name => sub {
        my $id = run(@{ $how{$name} });
        is(check($id), "0 healthy\n", 'healthy');
        unlike(logs_of($id), qr/connection/, 'the check is not in the log');
        kill 'STOP', pid_of($id);
        is(check($id), "1 timed out\n", 'its loop hangs: not healthy');
        kill 'CONT', pid_of($id);
    };
}

group 'an address that is not loopback' => sub {
    system("docker network create --subnet 198.51.100.0/28 $network-own >/dev/null") == 0 or die;
    my $id = run("--network $network-own --ip 198.51.100.5", '--address 198.51.100.5');
    is(check($id), "0 healthy\n", 'healthy');
};

group 'two servers in one network namespace' => sub {
    my $first  = run("--network $network", '--port 1111');
    my $second = run("--network container:$first", '--port 2222');
    is(check($first), "0 healthy\n", 'the first one is healthy');
    is(check($second), "0 healthy\n", 'the second one is healthy');
    system "docker kill -s STOP $first >/dev/null";
    is(check($first), "1 timed out\n", 'the first one hangs: it is not healthy');
    is(check($second), "0 healthy\n", 'the first one hangs: the second one is healthy');
    system "docker kill -s CONT $first >/dev/null";
};

group 'a table full of busy connections' => sub {
    my $id      = run("--network $network", '--max-connections 4 --drain-timeout 3s');
    my $address = address_of($id);
    my @busy    = map { connect_to(12345, host => $address) } 1 .. 4;
    is(echo_of($_, 'x'), 'x', 'a place is taken') for @busy;
    my @waiting = map { connect_to(12345, host => $address) } 1 .. 3;
    is(check($id), "0 healthy\n", 'healthy');
    is(echo_of($_, 'y'), 'y', 'a check takes nobody\'s place') for @busy;
    kill 'TERM', state_of($id)->{Pid};
    ok(wait_for(sub { logs_of($id) =~ /SIGTERM: stopping/ }), 'SIGTERM: it drains');
    send_all($busy[0], 'z');
    is(check($id), "1 refused\n", 'it drains: not healthy');
    close $_ for @busy, @waiting;
    ok(wait_for(sub { !state_of($id)->{Running} }, 10), 'it ends');
    is(state_of($id)->{ExitCode}, 0, 'exit 0');
};

group 'no server' => sub {
    my $out = `docker run --rm --network none --entrypoint /echo-server $image --healthcheck 2>&1`;
    is(($? >> 8) . " $out", "1 refused\n", 'not healthy');
};

done_testing;

END {
    my $status = $?;
    if (@started) {
        system "docker rm -f @started >/dev/null 2>&1; docker network rm $network $network-own >/dev/null 2>&1; docker rmi -f echolab-test:health >/dev/null 2>&1";
    }
    $? = $status;
}
