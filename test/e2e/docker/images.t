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
is_deeply([command('compose/setup.sh build check lab')], [0, ''], 'setup does nothing the second time');
is((command('compose/setup.sh nonsense'))[0], 2, '... and refuses what it does not know');

my %limit = (server => 64 * 1024, client => 96 * 1024);

for my $name ('server', 'client') {
    my ($code, $out) = command("compose/images.sh $name");
    is($code, 0, "the $name image builds") or diag $out;
    my $image = inspect("echolab-$name:latest");
    cmp_ok($image->{Size}, '<=', $limit{$name}, "... size $image->{Size} <= $limit{$name} bytes");
    my $config = $image->{Config};
    is($config->{User}, '65532:65532', '... a numeric user that is not root');
    is_deeply($config->{Entrypoint}, ["/echo-$name"], '... an entry point in exec form');
    is($config->{StopSignal}, 'SIGTERM', '... the stop signal');
    for my $label (qw(title description licenses version revision source created)) {
        ok($config->{Labels}{"org.opencontainers.image.$label"}, "... label $label");
    }

    my $dir = temp_dir() . "/$name";
    mkdir $dir;
    system("docker save echolab-$name:latest | tar -x -C $dir") == 0 or die;
    my $manifest = decode_json(slurp("$dir/manifest.json"))->[0];
    is(scalar @{ $manifest->{Layers} }, 1, '... one layer');
    my @files = split /\n/, `tar -tf $dir/$manifest->{Layers}[0]`;
    is("@files", "echo-$name", '... which holds one file, the program');

    # Beside it: what it was made from, read where it was made.
    my $beside = "$EcholabDocker::top/build/images/echolab-$name";
    my $sbom   = eval { decode_json(slurp("$beside/echo-$name.spdx.json")) } // {};
    my ($sum)  = `tar -xOf $dir/$manifest->{Layers}[0] echo-$name | sha256sum` =~ /^(\w+)/;
    is($sbom->{packages}[0]{checksums}[0]{checksumValue}, $sum, '... a bill of materials stands beside it, of this program');
    is(join(' ', map { $_->{name} } @{ $sbom->{packages} }), "echo-$name musl inih", '... with its two libraries');
    is($sbom->{creationInfo}{created}, $config->{Labels}{'org.opencontainers.image.created'}, '... of the same time');
    like(slurp("$beside/licenses/$_.txt"), qr/Copyright/, "... and the licence of $_") for qw(echolab musl inih);
    is(join(' ', map {m{([^/]+)$}} sort glob "$beside/*"), "echo-$name.spdx.json licenses", '... nothing else');
}
is_deeply(inspect('echolab-server:latest')->{Config}{Healthcheck}{Test},
    ['CMD', '/echo-server', '--healthcheck'], 'the server image has a health check in exec form');
is_deeply([keys %{ inspect('echolab-server:latest')->{Config}{ExposedPorts} }], ['12345/tcp'],
    '... and names its port');

# Editing config/, compose/ or test/ rebuilds nothing.
{
    my $id   = inspect('echolab-server:latest')->{Id};
    my @path = map { "$_/.rebuild-test-$$" } qw(config compose test);
    for (@path) { open my $f, '>', $_ or die; print $f time; close $f }
    my ($code, $out) = command('compose/images.sh server');
    unlink @path;
    is($code, 0, 'building again after edits outside src/');
    my $steps  = () = $out =~ /^(?:Step \d+\/\d+ : (?!FROM|ARG BASE)|#\d+ \[\S*build \d+\/\d+\] (?!FROM))/mg;
    my $cached = () = $out =~ /^(?: ---> Using cache|#\d+ CACHED)/mg;
    cmp_ok($steps, '>', 0, '... has steps');
    cmp_ok($cached, '>=', $steps, '... each taken from the cache');
    is(inspect('echolab-server:latest')->{Id}, $id, '... and gives the same image');
}

# Both builders: the classic one, and BuildKit where the client has it.
for my $kit (0, 1) {
    my ($code, $out) = command("DOCKER_BUILDKIT=$kit SERVER_IMAGE=echolab-test:kit$kit compose/images.sh server");
    SKIP: {
        skip 'this docker client has no buildx', 1 if $out =~ /buildx component is missing/;
        is($code, 0, 'builds with ' . ($kit ? 'BuildKit' : 'the classic builder')) or diag $out;
    }
    system "docker rmi echolab-test:kit$kit >/dev/null 2>&1";
}

# A container on its own, with no option at all.
{
    my ($id) = `docker run -d --network none echolab-server:latest` =~ /(\w+)/;
    ok(wait_for(sub { logs_of($id) =~ /listening on \S+:12345/ }), 'the server runs alone');
    my $status = slurp('/proc/' . state_of($id)->{Pid} . '/status');
    like($status, qr/^NoNewPrivs:\s+1$/m, '... can gain no privileges, with no option at all');
    like($status, qr/^Seccomp_filters:\s+2$/m, "... behind the engine's filter and its own");
    unlike(logs_of($id), qr/sandbox/, '... the kernel refused nothing');
    my $t = time;
    system "docker stop $id >/dev/null";
    cmp_ok(time - $t, '<', 1, 'docker stop of an idle server takes less than a second');
    is(state_of($id)->{ExitCode}, 0, '... exit 0');
    like(logs_of($id), qr/SIGTERM: stopping.*\n.*listener on \S+ closed\n.*self-pipe closed\n.*stopped: 0 conn/,
        '... and every close is logged');
    system "docker rm $id >/dev/null";
}

# The health check notices a server that hangs, and that it is back.
{
    my ($id) = `docker run -d --network none --health-interval 1s --health-timeout 2s --health-retries 2 echolab-server:latest` =~ /(\w+)/;
    my $health = sub { state_of($id)->{Health}{Status} };
    ok(wait_for(sub { $health->() eq 'healthy' }, 15), 'healthy');
    unlike(logs_of($id), qr/connection/, '... and its connections stay out of the log');
    system "docker kill -s STOP $id >/dev/null";
    ok(wait_for(sub { $health->() eq 'unhealthy' }, 20), 'the server hangs: unhealthy');
    system "docker kill -s CONT $id >/dev/null";
    ok(wait_for(sub { $health->() eq 'healthy' }, 20), 'it goes on: healthy again');
    system "docker pause $id >/dev/null && docker unpause $id >/dev/null";
    sleep 1.5;
    ok(wait_for(sub { $health->() eq 'healthy' }, 20), 'paused and unpaused: still healthy');
    system "docker rm -f $id >/dev/null";
}

done_testing();
