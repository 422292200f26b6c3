#!/usr/bin/perl
# The images: size, content, what they declare; rebuilding; health; stopping.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use JSON::PP;
use Echolab;
use EcholabDocker;

# By now all that the tests need is there: setting up again changes nothing and says nothing.
is_deeply([command('tools/setup.sh build check lab')], [0, ''], 'setup does nothing the second time');
is((command('tools/setup.sh nonsense'))[0], 2, 'setup refuses what it does not know with exit 2');

# What the images may take, on Alpine and on the Debian root: CONTRIBUTING's budget.
my %limit = (server => [64 * 1024, 72 * 1024], client => [116 * 1024, 127 * 1024]);

# What an image declares and holds, and what stands beside it.
sub check_image {
    my ($name) = @_;
    my ($code, $out) = command("tools/images.sh $name");
    is($code, 0, 'it builds') or diag $out;
    my $image = inspect("echolab-$name:latest");
    my $limit = $limit{$name}[$out =~ /building on a Debian root/ ? 1 : 0];
    cmp_ok($image->{Size}, '<=', $limit, "it has $image->{Size} bytes, at most $limit");
    my $config = $image->{Config};
    is($config->{User}, '65532:65532', 'its user is a number that is not root');
    is_deeply($config->{Entrypoint}, ["/echo-$name"], 'its entry point is in exec form');
    is($config->{StopSignal}, 'SIGTERM', 'its stop signal is SIGTERM');
    for my $label (qw(title description licenses version revision source created)) {
        ok($config->{Labels}{"org.opencontainers.image.$label"}, "it has the label $label");
    }

    my $dir = temp_dir() . "/$name";
    mkdir $dir;
    system("docker save echolab-$name:latest | tar -x -C $dir") == 0 or die;
    my $manifest = decode_json(slurp("$dir/manifest.json"))->[0];
    is(scalar @{ $manifest->{Layers} }, 1, 'it has one layer');
    my @files = split /\n/, `tar -tf $dir/$manifest->{Layers}[0]`;
    is("@files", "echo-$name", 'its layer holds one file, the program');

    # Beside it: what it was made from, read where it was made.
    my $beside = "$EcholabDocker::top/build/images/echolab-$name";
    my $sbom   = eval { decode_json(slurp("$beside/echo-$name.spdx.json")) } // {};
    my ($sum)  = `tar -xOf $dir/$manifest->{Layers}[0] echo-$name | sha256sum` =~ /^(\w+)/;
    is($sbom->{packages}[0]{checksums}[0]{checksumValue}, $sum, 'the bill of materials beside it is of this program');
    like(join(' ', map { $_->{name} } @{ $sbom->{packages} }), qr/^echo-$name musl inih(?: fortify-headers)?$/, 'the bill of materials names the program and what is linked in');
    is($sbom->{creationInfo}{created}, $config->{Labels}{'org.opencontainers.image.created'}, 'the bill of materials has the time of the image');
    like(slurp("$beside/licenses/" . ($_ eq "echo-$name" ? 'echolab' : $_) . '.txt'), qr/Copyright/, "the licence of $_ stands beside it") for map { $_->{name} } @{ $sbom->{packages} };
    is(join(' ', map {m{([^/]+)$}} sort glob "$beside/*"), "echo-$name.spdx.json licenses", 'nothing else stands beside it');
}

for my $name ('server', 'client') {
    group "the $name image" => sub { check_image($name) };
}
is_deeply(inspect('echolab-server:latest')->{Config}{Healthcheck}{Test},
    ['CMD', '/echo-server', '--healthcheck'], 'the server image: its health check is in exec form');
is_deeply([keys %{ inspect('echolab-server:latest')->{Config}{ExposedPorts} }], ['12345/tcp'],
    'the server image: it names its port');

# Editing config/, compose/, tools/ or test/ rebuilds nothing.
group 'building again after edits outside src/' => sub {
    my $id   = inspect('echolab-server:latest')->{Id};
    my @path = map { "$_/.rebuild-test-$$" } qw(config compose test tools);
    write_file($_, time) for @path;
    my ($code, $out) = command('V=1 tools/images.sh server');
    unlink @path;
    is($code, 0, 'it builds');
    my $steps  = () = $out =~ /^(?:Step \d+\/\d+ : (?!FROM|ARG BASE)|#\d+ \[\S*build \d+\/\d+\] (?!FROM))/mg;
    my $cached = () = $out =~ /^(?: ---> Using cache|#\d+ CACHED)/mg;
    cmp_ok($steps, '>', 0, 'it has steps');
    cmp_ok($cached, '>=', $steps, 'each step is taken from the cache');
    is(inspect('echolab-server:latest')->{Id}, $id, 'it gives the same image');
};

# Both builders: the classic one, and BuildKit where the client has it.
for my $kit (0, 1) {
    my ($code, $out) = command("DOCKER_BUILDKIT=$kit tools/images.sh server=echolab-test:kit$kit");
    SKIP: {
        skip 'this docker client has no buildx', 1 if $out =~ /buildx component is missing/;
        is($code, 0, ($kit ? 'BuildKit' : 'the classic builder') . ' builds the server image') or diag $out;
    }
    system "docker rmi echolab-test:kit$kit >/dev/null 2>&1";
}

# A container on its own, with no option at all.
group 'the server alone, with no option' => sub {
    my ($id) = `docker run -d --network none echolab-server:latest` =~ /(\w+)/;
    ok(wait_for(sub { logs_of($id) =~ /listening on \S+:12345/ }), 'it listens');
    my $status = slurp('/proc/' . state_of($id)->{Pid} . '/status');
    like($status, qr/^NoNewPrivs:\s+1$/m, 'it can gain no privileges');
    like($status, qr/^Seccomp_filters:\s+2$/m, "it is behind the engine's filter and its own");
    unlike(logs_of($id), qr/sandbox/, 'the kernel refused nothing of its sandbox');
    my $t = time;
    system "docker stop $id >/dev/null";
    cmp_ok(time - $t, '<', 3, 'docker stop of it, idle, does not wait for drain_timeout');
    is(state_of($id)->{ExitCode}, 0, 'docker stop: exit 0');
    like(logs_of($id), qr/SIGTERM: stopping.*\n.*listener on \S+ closed\n.*stopped: 0 conn/,
        'docker stop: every close is logged');
    system "docker rm $id >/dev/null";
};

# The health check notices a server that hangs, and that it is back.
group 'the health check' => sub {
    my ($id) = `docker run -d --network none --health-interval 1s --health-timeout 2s --health-retries 2 echolab-server:latest` =~ /(\w+)/;
    my $health = sub { state_of($id)->{Health}{Status} };
    ok(wait_for(sub { $health->() eq 'healthy' }, 15), 'it is healthy at first');
    unlike(logs_of($id), qr/connection/, 'its connections stay out of the log');
    system "docker kill -s STOP $id >/dev/null";
    ok(wait_for(sub { $health->() eq 'unhealthy' }, 20), 'a server that hangs is unhealthy');
    system "docker kill -s CONT $id >/dev/null";
    ok(wait_for(sub { $health->() eq 'healthy' }, 20), 'a server that goes on is healthy again');
    system "docker pause $id >/dev/null && docker unpause $id >/dev/null";
    sleep 1.5;
    ok(wait_for(sub { $health->() eq 'healthy' }, 20), 'a server that was paused and unpaused is healthy');
    system "docker rm -f $id >/dev/null";
};

done_testing();
