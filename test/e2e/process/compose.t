#!/usr/bin/perl
# The lab's scripts without Docker: what they write, what they would run, what they say. The docker
# and Compose commands are stand-ins, which note what they were told.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

plan skip_all => 'the scripts run once, with the programs as shipped' if $Echolab::build ne 'build';

my $top  = POSIX::getcwd();
my $bin  = temp_dir() . '/bin';
my $dir  = temp_dir() . '/clone';
my $told = "$bin/told";
my $have = "$bin/images"; # the images that are here

sub program { my ($name, $text) = @_; write_file("$bin/$name", "#!/bin/sh\n$text"); chmod 0755, "$bin/$name" }
sub images_here { write_file($have, join '', map { "$_\n" } @_) }
sub calls { my $said = slurp($told); write_file($told, ''); return $said }

# A command in the clone's folder: (exit code, what it said on both), as one text each.
sub run {
    my ($command, %env) = @_;
    my ($code, $out, $err) = run_program(['sh', '-c', "cd '$dir' && exec $command"], seconds => 120,
        env => { PATH => "$bin:$ENV{PATH}", COMPOSE => 'stand-in', map({ $_ => '' } qw(V LAPSE PUBLISH OBSERVE SERVER_IMAGE CLIENT_IMAGE BUSYBOX_IMAGE PROMETHEUS_IMAGE PLATFORM BASE INSTALL FOLLOW)), %env });
    return ($code, $out, $err);
}

system('mkdir', $dir) == 0 && system('cp', '-r', 'compose', 'tools', 'config', 'docs', 'Dockerfile.server', 'Dockerfile.client', $dir) == 0 or die;
unlink "$dir/compose/lab.yaml";
write_file($told, '');
images_here();
program('docker', <<"EOT");
echo "\$*" >>$told
case "\$1" in
image) grep -qxF -e "\$3" $have ;;
pull) echo "Error response: \${PULL_SAYS:-no such image}" >&2; [ -n "\${PULLS-}" ] && echo "\$2" >>$have ;;
build)
    case "\$*" in *' sbom '*) echo sha256:5b0; exit ;; esac
    seq -f 'Step %g : something' 100
    until [ -z "\${BUILD_LASTS-}" ] || [ -e $bin/told-once ]; do : >$bin/stepped; /bin/sleep 0.05; done
    [ "\${BUILD-}" != fails ] || { echo 'it broke here'; exit 1; }
    ;;
create) echo container ;;
run) ;;
import) cat >/dev/null; eval "echo \\\${\$#}" >>$have ;;
rmi)
    [ "\${IN_USE-}" != "\$2" ] || { echo "Error response: conflict: it is in use" >&2; exit 1; }
    grep -vxF -e "\$2" $have >$have.new || :
    mv $have.new $have
    ;;
images) case "\$*" in *echolab-fault) grep '^echolab-fault:' $have ;; *stage*) echo sha256:old ;; esac ;;
ps) case "\$*" in *ancestor=sha256:old) echo left ;; *ancestor*) ;; *) echo "\${UP-}" ;; esac ;;
esac
EOT

# ---- generate.sh: LAPSE, PUBLISH, somebody else's server -----------------------------------------
my $yaml = "$dir/compose/lab.yaml";
for my $lapse ('0', '0s', '30s', '1m2s', '1.5h', '250ms', '8760h') {
    my ($code, $out) = run('compose/generate.sh 2', LAPSE => $lapse);
    is("$code $out", "0 compose/lab.yaml: server and 2 clients\n", "LAPSE=$lapse");
    is(join(' ', slurp($yaml) =~ /^    environment: (\{CLI_ID.*)$/mg), qq({CLI_ID: "1", CLI_LOOP_LAPSE: "$lapse"} {CLI_ID: "2", CLI_LOOP_LAPSE: "$lapse"}), '... is in the environment of each client');
    is((run_program(["$Echolab::build/echo-client", '--check-config'], env => { CLI_LOOP_LAPSE => $lapse }))[0], 0, '... and the client takes it');
}
my $before = slurp($yaml);
for my $lapse ('5', 'x', '-1s', '1m2', 's', '9000h', '1s 2s', "1s\n2s", '"', '0x1s', '99999999999999999999h') {
    my ($code, $out, $err) = run('compose/generate.sh 2', LAPSE => $lapse);
    is("$code $out", '2 ', "LAPSE='$lapse': exit 2");
    is($err, "compose: LAPSE='$lapse' is wrong; allowed: a duration from 0 (until stopped) to 8760h, like 30s or 1m2s\n", '... and what is allowed');
}
is(slurp($yaml), $before, 'a wrong LAPSE leaves the older file');
for my $case (['12345', '127.0.0.1:12345:12345'], ['127.0.0.1:7', '127.0.0.1:7:12345'], ['0.0.0.0:65535', '0.0.0.0:65535:12345']) {
    is((run('compose/generate.sh 1', PUBLISH => $case->[0]))[0], 0, "PUBLISH=$case->[0]");
    like(slurp($yaml), qr/^  server:\n    ports: \["\Q$case->[1]\E"\]\n    networks: \[lab, published\]\n/m, '... publishes the port');
    like(slurp($yaml), qr/^networks:\n  published:\n.*enable_ip_masquerade: "false"\}\n  lab:\n    internal: true$/m, '... by a second network');
}
for my $publish ('0', '65536', 'x', '127.0.0.1:', ':12345', '127.0.0.1', '256.0.0.1:7', '1.2.3:7', 'localhost:7', '[::1]:7', '1.2.3.4.5:7', "7\n8", '1.2.3.4:7:8', '01.2.3.4:7') {
    my ($code, $out, $err) = run('compose/generate.sh 2', PUBLISH => $publish);
    is("$code $out", '2 ', "PUBLISH='$publish': exit 2");
    is($err, "compose: PUBLISH='$publish' is wrong; allowed: a port from 1 to 65535, with an IPv4 address of this machine before it or without, like 12345 or 127.0.0.1:12345\n", '... and what is allowed');
}
my $ini = slurp("$dir/config/server.ini");
write_file("$dir/config/server.ini", $ini =~ s/^port = .*/port = 7777 ; mine/mr);
run('compose/generate.sh 1', PUBLISH => 80);
like(slurp($yaml), qr/ports: \["127\.0\.0\.1:80:7777"\]/, 'PUBLISH with another port in server.ini');
write_file("$dir/config/server.ini", $ini =~ s/^port = .*/port = 0/mr);
my ($code, $out, $err) = run('compose/generate.sh 1', PUBLISH => 80);
is("$code $err", "2 compose: PUBLISH needs to know the server's port, and config/server.ini says '0'; allowed: 1 to 65535\n", '... or with none');
write_file("$dir/config/server.ini", $ini);
run('compose/generate.sh 1');
unlike(slurp($yaml), qr/ports:|published|LAPSE/, 'without them: no port, no network, no lapse');
like(slurp($yaml), qr/^# .*: the server and 1 client\. .*\n/, '... and one client is no clients');
my $targets = "$dir/compose/prometheus/targets.yaml";
run('compose/generate.sh 2');
my $server_target = qr/^- labels: \{job: echo-server\}\n  targets: \["server:9100"\]\n/m;
like(slurp($targets), qr/$server_target- labels: \{job: echo-client\}\n  targets:\n    - "client1:9100"\n    - "client2:9100"\n\z/, 'the metrics of the server and of each client are targets');
my $client_ini = slurp("$dir/config/client.ini");
write_file("$dir/config/client.ini", $client_ini =~ s/^admin_address.*/admin_address = none/mr);
run('compose/generate.sh 2');
like(slurp($targets), qr/$server_target\z/, '... those of the clients are none without an address');
write_file("$dir/config/client.ini", ($client_ini =~ s/^admin_address.*\n//mr) . "\n[client]\nadmin_address = [::]:9200 ; mine\n");
run('compose/generate.sh 2');
like(slurp($targets), qr/$server_target- labels: \{job: echo-client\}\n  targets:\n    - "client1:9200"\n    - "client2:9200"\n\z/, '... with another one at that port');
run('compose/generate.sh 0');
like(slurp($targets), qr/$server_target\z/, '... but without clients there are none');
write_file("$dir/config/client.ini", $client_ini);
run('compose/generate.sh 1', SERVER_IMAGE => 'student/echo:1');
unlike(slurp($targets), qr/"server:/, 'somebody else\'s server is not asked for metrics');
for my $case ([9091, '127.0.0.1:9091:9090'], ['127.0.0.1:7', '127.0.0.1:7:9090']) {
    is((run('compose/generate.sh 1', OBSERVE => $case->[0]))[0], 0, "OBSERVE=$case->[0]");
    like(slurp($yaml), qr/^  prometheus:\n    ports: \["\Q$case->[1]\E"\]\n    networks: \[lab, published\]\n/m, '... publishes the port');
    is(scalar(() = slurp($yaml) =~ /ports:/g), 1, '... and no other');
    is(scalar(() = slurp($yaml) =~ /^  published:$/mg), 1, '... by a second network');
}
for my $observe ('', 0, 1) {
    is((run('compose/generate.sh 1', OBSERVE => $observe))[0], 0, "OBSERVE='$observe'");
    unlike(slurp($yaml), qr/ports:|published/, '... publishes nothing');
}
for my $observe ('yes', '65536', 'localhost:7', '-1') {
    ($code, $out, $err) = run('compose/generate.sh 2', OBSERVE => $observe);
    is("$code $out", '2 ', "OBSERVE='$observe': exit 2");
    is($err, "compose: OBSERVE='$observe' is wrong; allowed: 1, or a port from 1 to 65535, with an IPv4 address of this machine before it or without, like 12345 or 127.0.0.1:12345\n", '... and what is allowed');
}
run('compose/generate.sh 1');
my @checks = (qr/healthcheck/, qr/service_healthy/);
like(slurp($yaml), $_, "ours has: $_") for @checks;
run('compose/generate.sh 1', SERVER_IMAGE => 'student/echo:1');
unlike(slurp($yaml), $_, "somebody else's has not: $_") for @checks;
like(slurp($yaml), qr/^    sysctls:/m, '... and all else');

# ---- images.sh: images of the user ---------------------------------------------------------------
my $digest = 'student/echo@sha256:' . 'a' x 64;
for my $image ('student/echo:1', $digest, 'localhost:5000/echo', 'echolab-server:latest') {
    images_here($image);
    calls();
    ($code, $out, $err) = run('tools/images.sh server', SERVER_IMAGE => $image);
    is("$code $out$err", "0 images: $image is taken as it is (SERVER_IMAGE)\n", "SERVER_IMAGE=$image");
    unlike(calls(), qr/^(?:build|tag|pull)/m, '... is neither built nor tagged nor pulled');
    images_here();
    ($code, $out, $err) = run('tools/images.sh client', CLIENT_IMAGE => $image, PULLS => 1);
    is($code, 0, '... is pulled where it is not here') or diag $out, $err;
    like(calls(), qr/^pull \Q$image\E$/m, '... by this name');
    images_here();
    ($code, $out, $err) = run('tools/images.sh server', SERVER_IMAGE => $image);
    is($code, 1, '... cannot be pulled: exit 1');
    like($err, qr/^images: SERVER_IMAGE='\Q$image\E' is neither here nor can it be pulled; allowed: [^\n]+\n\z/m, '... and what is allowed');
    unlike(calls(), qr/^(?:build|tag)/m, '... and nothing is built');
}
for my $image ('-x', 'a b', 'a$b', "a\nb", ':1', '@sha256:1') {
    ($code, $out, $err) = run('tools/images.sh server client', SERVER_IMAGE => $image);
    is("$code $out$err", "2 images: SERVER_IMAGE='$image' is no name of an image; allowed: name:tag, or name\@sha256:digest\n", "SERVER_IMAGE='$image': exit 2");
}

# ---- images.sh: bases that are here; one try to pull -----------------------------------------------
my ($alpine, $sidecar) = slurp("$dir/tools/pins") =~ /^(?:BASE|BUSYBOX_IMAGE) (\S+)$/mg;
images_here('echolab-base:debian');
calls();
($code, $out) = run('tools/images.sh server client');
is($code, 0, 'a Debian root is here: both images are built') or diag $out;
like($out, qr/^images: building on a Debian root with musl, echolab-base:debian, which is here/m, '... on it');
my $calls = calls();
unlike($calls, qr/^pull/m, '... and nothing is pulled');
like($calls, qr/^build .*-t echolab-$_:latest .*BASE=echolab-base:debian .*INSTALL=true/m, "... $_") for 'server', 'client';
images_here('echolab-base:debian', $alpine);
run('tools/images.sh server');
like(calls(), qr/^build .*BASE=\Q$alpine\E /m, 'the pinned image is here, too: it comes first');
images_here('echolab-busybox:debian');
($code, $out) = run('tools/images.sh busybox');
is("$code $out", "0 echolab-busybox:debian\n", 'a sidecar made of Debian is here: it is taken');
unlike(calls(), qr/^pull/m, '... at once');
images_here('echolab-base:debian');
($code, $out, $err) = run('tools/images.sh busybox');
is("$code $out", "0 echolab-busybox:debian\n", 'no sidecar is here: it is made');
like($err, qr/^images: pulling \Q$sidecar\E: at most 30 s\nimages: it cannot be pulled: Error response: no such image\n/m, '... after a try to pull it, which says why it failed');
my $name = $sidecar =~ s/@.*//r;
is(join(' ', calls() =~ /^pull (.*)$/mg), "$sidecar $name", '... nor is there one of this name');
images_here('echolab-base:debian');
is((run('tools/images.sh busybox'))[0], 0, 'once more');
unlike(calls(), qr/^pull/m, '... without another try');
is((run('tools/images.sh clean'))[0], 0, 'clean');
images_here('echolab-base:debian');
calls();
is((run('tools/images.sh busybox', PULL_SAYS => 'dial tcp: connection refused'))[0], 0, '... and again');
is(join(' ', calls() =~ /^pull (.*)$/mg), $sidecar, '... with a new try, and no second one where the registry is out of reach');

images_here('mine/busybox:1');
is_deeply([run('tools/images.sh busybox', BUSYBOX_IMAGE => 'mine/busybox:1')], [0, "mine/busybox:1\n", ''], 'a sidecar of the user is taken');
images_here();
calls();
is((run('tools/images.sh busybox', BUSYBOX_IMAGE => 'mine/busybox:1', PULLS => 1))[1], "mine/busybox:1\n", '... and pulled before Compose does it in silence');
like(calls(), qr/^pull mine\/busybox:1$/m, '... (it is)');
is((run('tools/images.sh busybox', BUSYBOX_IMAGE => 'a b'))[2], "images: BUSYBOX_IMAGE='a b' is no name of an image; allowed: name:tag, or name\@sha256:digest\n", '... a wrong name is told');

# ---- images.sh: Prometheus ---------------------------------------------------------------------------
my ($observer) = slurp("$dir/tools/pins") =~ /^PROMETHEUS_IMAGE (\S+)$/m;
images_here($observer);
is_deeply([run('tools/images.sh prometheus')], [0, "$observer\n", ''], 'Prometheus as pinned is here: it is taken');
images_here('echolab-prometheus:debian');
is_deeply([run('tools/images.sh prometheus')], [0, "echolab-prometheus:debian\n", ''], '... or one that was made here');
images_here('mine/prometheus:1');
is_deeply([run('tools/images.sh prometheus', PROMETHEUS_IMAGE => 'mine/prometheus:1')], [0, "mine/prometheus:1\n", ''], '... or the user\'s');
is((run('tools/images.sh prometheus', PROMETHEUS_IMAGE => 'a b'))[2], "images: PROMETHEUS_IMAGE='a b' is no name of an image; allowed: name:tag, or name\@sha256:digest\n", '... a wrong name is told');
images_here();
program('apt-get', "echo \"apt-get \$*\" >>$told; case \"\$*\" in *download*) [ -e $bin/fresh ] && echo deb >prometheus_1.deb ;; *update) : >$bin/fresh ;; esac\n");
program('dpkg-deb', "mkdir -p \$3/usr/bin && cp /bin/true \$3/usr/bin/prometheus && cp /bin/true \$3/usr/bin/promtool\n");
calls();
($code, $out, $err) = run('tools/images.sh prometheus');
is("$code $out", "0 echolab-prometheus:debian\n", 'no Prometheus is here: it is made of Debian\'s package') or diag $err;
$calls = calls();
like($calls, qr/^apt-get \S.* download prometheus$(?:\n.*)*^apt-get \S.* update$(?:\n.*)*^apt-get \S.* download prometheus$(?:\n.*)*^import - echolab-prometheus:debian$/m, '... with fresh lists where the old ones fail');
unlike($calls, qr/^apt-get .*install/m, '... which is not installed');
is(join(' ', glob "$dir/build/images/root*"), '', '... and nothing unpacked stays');
images_here();
unlink "$bin/fresh";
($code, $out, $err) = run('tools/images.sh prometheus', SETUP => 'no');
is($code, 1, '... SETUP=no, and it cannot be had: exit 1');
unlike(calls(), qr/^apt-get .*update/m, '... and apt\'s lists stay as they are');
unlink "$bin/apt-get", "$bin/dpkg-deb";

# ---- images.sh: what the builder says ----------------------------------------------------------------
# The pause between two reports is a stand-in, too: the first ends when the build has said its
# steps, the second begins when that was told, and then the build ends.
images_here($alpine);
program('sleep', <<"EOT");
[ "\$1" = 5 ] || exec /bin/sleep "\$@"
[ ! -e $bin/paused ] || { : >$bin/told-once; exec /bin/sleep 5; }
: >$bin/paused
until [ -e $bin/stepped ]; do /bin/sleep 0.05; done
EOT
($code, $out, $err) = run('tools/images.sh server', BUILD_LASTS => 1);
unlink "$bin/sleep";
is("$code $err", '0 ', 'a build that lasts longer than the pause between reports, of 5 s');
like($out, qr/^images: building echolab-server:latest: about \d+ s.*\n  \d+ s: Step 100 : something\n  done in \d+ s\n/m, '... says what it does, about how long, that it goes on, how long it took');
unlike($out, qr/Step 1 :/, '... and not each step');
like(slurp("$dir/build/images/echolab-server.log"), qr/^Step 1 :.*^Step 100 :/ms, '... which is in a file');
($code, $out, $err) = run('tools/images.sh client', BUILD => 'fails');
is($code, 1, 'a build that fails');
like($err, qr/^Step 100 : something\nit broke here\nimages: Dockerfile\.client cannot be built; all that the builder said is in build\/images\/echolab-client\.log\n\z/m, '... shows the end and names the file');
($code, $out, $err) = run('tools/images.sh server', V => 1);
like($out, qr/^Step 1 :.*^Step 100 :/ms, 'V=1 shows all');
($code, $out, $err) = run('tools/images.sh server', V => 1, BUILD => 'fails');
is($code, 1, '... and fails as well');
is(scalar(() = "$out$err" =~ /it broke here/g), 1, '... what it shows it shows once');

# ---- images.sh: clean ----------------------------------------------------------------------------------
my @ours = qw(echolab-server:latest echolab-client:latest echolab-busybox:debian echolab-prometheus:debian echolab-base:debian);
push @ours, map { "echolab-fault:$_" } 'leaks', 'prefix';
images_here(@ours, 'student/echo:1', 'echolab-server:1.0', $alpine, 'sha256:old');
calls();
($code, $out, $err) = run('tools/images.sh clean');
is("$code $err", '0 ', 'clean: exit 0');
is($out, join('', map { "images: $_ is removed\n" } @ours), '... what was made here goes');
is(slurp($have), "student/echo:1\necholab-server:1.0\n$alpine\n", '... stages too, and nothing else');
like(calls(), qr/^rm left$/m, '... with the container of a build that failed');
is((run('tools/images.sh clean'))[1], '', '... once');
images_here('echolab-server:latest');
($code, $out, $err) = run('tools/images.sh clean', IN_USE => 'echolab-server:latest');
is("$code $out$err", "1 images: echolab-server:latest cannot be removed: it is in use; allowed: make down first\n", 'clean, with the lab up: one line');

# ---- PLATFORM; another system's tools --------------------------------------------------------------------
program('no-buildx', '');
{
    my $docker = slurp("$bin/docker");
    program('docker', "[ \"\$1\" != buildx ] || exit 1\n$docker");
    ($code, $out, $err) = run('tools/images.sh server', PLATFORM => 'linux/arm64');
    is($code, 1, 'PLATFORM without buildx: exit 1');
    like($err, qr/^images: PLATFORM='linux\/arm64' needs buildx, for which Debian 12 has no package; allowed: docker-buildx-plugin of Docker's own packages .*make aarch64\n\z/, '... one line with ways that Debian 12 has');
}
program('date', 'case "$*" in *-d*) echo "date: illegal option -- d" >&2; exit 1 ;; esac; exec /bin/date "$@"');
for my $script ('images.sh server', 'setup.sh lab') {
    my ($name) = $script =~ /^(\w+)/;
    ($code, $out, $err) = run("tools/$script");
    is($code, 1, "$name.sh, a date without -d: exit 1");
    like("$out$err", qr/\A$name: date here has no -d \(\w+\): echolab runs on Linux, with GNU's or busybox's tools; allowed: [^\n]+\n\z/, '... and the reason, not SOURCE_DATE_EPOCH');
}
unlink "$bin/date";
{
    my $without = temp_dir() . '/without';
    system("mkdir $without && ln -sf /bin/* /usr/bin/* $without && rm $without/timeout") == 0 or die;
    ($code, $out, $err) = run('tools/images.sh server', PATH => "$bin:$without");
    is($code, 1, 'images.sh, no timeout: exit 1');
    like("$out$err", qr/\Aimages: timeout is missing here \(\w+\): echolab runs on Linux/, '... and the reason');
}

# ---- lab.sh: not up ----------------------------------------------------------------------------------------
program('stand-in', "echo \"compose: \$*\" >>$told\ncase \"\$*\" in *' logs '*) cat $bin/log ;; esac\n");
unlink $yaml;
my %to = (HOST => 'server', PORT => 12345, TIMEOUT_S => 5, MESSAGE => 'x');
for my $verb ('logs', 'netcat', 'metrics', 'ps', 'down', 'up') {
    ($code, $out, $err) = run("compose/lab.sh $verb", %to);
    is("$code $out$err", "1 lab: the lab is not up: make up N=5\n", "a fresh clone: $verb says what to type");
}
run('compose/generate.sh 2');
calls();
for my $verb ('logs', 'netcat', 'metrics') {
    ($code, $out, $err) = run("compose/lab.sh $verb", %to);
    is("$code $out$err", "1 lab: the lab is not up: make up N=5\n", "nothing runs: $verb says so");
    unlike(calls(), qr/^compose:/m, '... and starts nothing');
}
images_here($sidecar);
my $up = 'server 1 Up 2 seconds (healthy)';
is((run('compose/lab.sh netcat', %to, UP => $up))[0], 0, 'a lab that runs: netcat');
like(calls(), qr/^compose: .* --profile test run --rm --no-deps -T netcat$/m, '... starts nothing but itself');

{
    my $stand_in = slurp("$bin/stand-in");
    my $noise    = "echo 'Creating echolab_netcat_run ... done' >&2; echo 1 >&2; exit 1";
    program('stand-in', "echo 'netcat: nobody is not resolved' >&2; $noise\n");
    is_deeply([run('compose/lab.sh netcat', %to, UP => $up)], [1, '', "netcat: nobody is not resolved\n"], 'netcat fails: its line alone is shown');
    program('stand-in', "$noise\n");
    is_deeply([run('compose/lab.sh netcat', %to, UP => $up)], [1, '', "Creating echolab_netcat_run ... done\n1\n"], '... and what Compose says where it says nothing');
    program('stand-in', $stand_in =~ s/^.*\n//r);
}

# ---- lab.sh: metrics ---------------------------------------------------------------------------------
is((run('compose/lab.sh metrics', %to, UP => $up))[0], 0, 'a lab that runs: metrics');
like(calls(), qr/^compose: .* --profile test run --rm --no-deps -T metrics$/m, '... starts nothing but itself');
{
    my $stand_in = slurp("$bin/stand-in");
    program('stand-in', "echo \"\$METRICS_OF \$TIMEOUT_S\"\n");
    is((run('compose/lab.sh metrics', %to, UP => $up))[1], "server:9100 5\n", '... asks whom config/server.ini names');
    for my $host ('', 'client9', 'server:1', '.*', '[a-z]*', "server\nserver") {
        is_deeply([run('compose/lab.sh metrics', %to, HOST => $host, UP => $up)], [2, '', "lab: HOST='$host' has no metrics here; allowed: server, client1 to client2\n"], "HOST='$host': exit 2");
    }
    is_deeply([run('compose/lab.sh metrics', %to, TIMEOUT_S => $_, UP => $up)], [2, '', "lab: TIMEOUT_S='$_' is wrong; allowed: 1 to 9999\n"], "TIMEOUT_S='$_': exit 2") for 0, 'soon', 10000;
    my $noise = "echo 'Creating echolab_metrics_run ... done' >&2";
    for my $case (["$noise; echo 'wget: bad address server' >&2; exit 1", "metrics: server:9100: bad address server\n"],
        ["$noise; exit 143", "metrics: server:9100: no answer within 5 s\n"], ["$noise; exit 1", "Creating echolab_metrics_run ... done\n"])
    {
        program('stand-in', "$case->[0]\n");
        is_deeply([run('compose/lab.sh metrics', %to, UP => $up)], [1, '', $case->[1]], "metrics fails: $case->[0]");
    }
    program('stand-in', $stand_in =~ s/^.*\n//r);
}

# ---- lab.sh: up, with Prometheus -------------------------------------------------------------------------
{
    images_here($sidecar, $observer);
    my $healthy = "server 1 Up 2 seconds (healthy)\nprometheus 2 Up 1 second";
    run('compose/generate.sh 0', OBSERVE => 1);
    my $docker = slurp("$bin/docker");
    program('docker', "case \"\$1\" in inspect) echo 192.0.2.7; exit ;; exec) [ -z \"\${HANGS-}\" ]; exit ;; esac\n" . $docker =~ s/^.*\n//r);
    calls();
    ($code, $out, $err) = run('compose/lab.sh up', UP => $healthy, OBSERVE => 1);
    is("$code $err", '0 ', 'up with OBSERVE=1: exit 0');
    like($out, qr{^lab: Prometheus is at http://192\.0\.2\.7:9090 of this machine$}m, '... it says where Prometheus is');
    like(calls(), qr/^compose: .* --profile observe up -d --no-deps prometheus$/m, '... which was started');
    like(slurp($yaml), qr/labels: \{echolab\.prometheus: "\w{16}"\}/, '... its configuration is noted');
    run('compose/generate.sh 0', OBSERVE => 9091);
    like((run('compose/lab.sh up', UP => $healthy, OBSERVE => 9091))[1], qr{^lab: Prometheus is at http://127\.0\.0\.1:9091 of this machine$}m, '... published: the published one');
    ($code, $out, $err) = run('compose/lab.sh up', UP => 'server 1 Up 2 seconds (healthy)', OBSERVE => 1, HANGS => 1);
    is($code, 1, '... one that ended: exit 1');
    calls();
    unlike((run('compose/lab.sh up', UP => $healthy, OBSERVE => 0))[1], qr/Prometheus/, 'OBSERVE=0: none');
    unlike(calls(), qr/prometheus/, '... is started');
    write_file("$dir/config/server.ini", $ini =~ s/^admin_address = .*/admin_address = none/mr);
    run('compose/generate.sh 0', OBSERVE => 1);
    is_deeply([run('compose/lab.sh up', UP => $healthy, OBSERVE => 1)], [2, '', "lab: OBSERVE: nothing here has metrics; allowed: an admin_address in config/server.ini or client.ini\n"], 'nothing has metrics: exit 2');
    is_deeply([run('compose/lab.sh metrics', %to, UP => $up)], [2, '', "lab: HOST='server' has no metrics here; allowed: none, since config has no admin_address\n"], '... metrics, too');
    write_file("$dir/config/server.ini", $ini);
    program('docker', $docker =~ s/^.*\n//r);
}

# ---- lab.sh: up ----------------------------------------------------------------------------------------------
my $healthy = "server 1 Up 2 seconds (healthy)\nclient1 2 Up 1 second\nclient2 3 Up 1 second";
my $next    = "next: make logs, make netcat MESSAGE='hola mundo', make down\n";
for my $case ([2, {}, '%s and 2 clients are up; they talk for 1m2s'], [1, {}, '%s and 1 client are up; it talks for 1m2s'], [0, {}, '%s is up, without clients'],
    [2, { LAPSE => 0 }, '%s and 2 clients are up; they talk until stopped'], [2, { LAPSE => '0s' }, '%s and 2 clients are up; they talk until stopped'],
    [2, { LAPSE => '3m' }, '%s and 2 clients are up; they talk for 3m'],
    [2, { PUBLISH => 4567 }, '%s (also at 127.0.0.1:4567 of this machine) and 2 clients are up; they talk for 1m2s'])
{
    my ($n, $env, $says) = @$case;
    run("compose/generate.sh $n", %$env);
    ($code, $out) = run('compose/lab.sh up', UP => $healthy);
    is($code, 0, join ' ', "up, N=$n", %$env);
    like($out, qr/^\Q${\ sprintf "lab: $says", 'the server'}\E\n\Q$next\E\z/m, '... what runs, for how long, what comes next');
}
write_file("$dir/config/client.ini", slurp("$dir/config/client.ini") =~ s/^loop_lapse = .*/loop_lapse = 7s/mr);
run('compose/generate.sh 2');
like((run('compose/lab.sh up', UP => $healthy))[1], qr/they talk for 7s$/m, 'up: as client.ini says');

# ---- lab.sh: an edited configuration ---------------------------------------------------------------------------
sub inis { run('compose/lab.sh up', UP => $healthy); return map { slurp($yaml) =~ /^ +labels: \{echolab\.$_\.ini: "(\w+)"\}/m } 'server', 'client' }
my @first = inis();
is(scalar @first, 2, 'up notes the content of both configurations');
is_deeply([inis()], \@first, 'a configuration that stays has the same label');
write_file("$dir/config/server.ini", slurp("$dir/config/server.ini") . "\n; edited\n");
my @second = inis();
isnt($second[0], $first[0], 'server.ini edited: the server has another one');
is($second[1], $first[1], '... the clients have not');
write_file("$dir/config/client.ini", slurp("$dir/config/client.ini") . "\n; edited\n");
isnt((inis())[1], $first[1], 'client.ini edited: the clients have another one');
like(slurp($yaml), qr/^  server:\n(?:    .*\n)*    labels: \{echolab\.server\.ini: "\w{16}"\}$/m, 'it is a label of the server');
like(slurp($yaml), qr/^x-client: .*\n(?:  .*\n)*  labels: \{echolab\.client\.ini: "\w{16}"\}/m, '... and of the clients');
is(join(' ', glob "$dir/compose/.lab*"), '', '... and nothing half-written stays');

# ---- lab.sh: logs in the order of time ---------------------------------------------------------------------------
my @lines = (
    ['server-1   | ', '2026-11-23T22:43:12.700000001Z', '2026-11-23 22:43:12.683Z INFO  listening on [::]:12345'],
    ['client1-1  | ', '2026-11-23T22:43:15.400000002Z', '2026-11-23 22:43:15.299Z INFO  one'],
    ['client2-1  | ', '2026-11-23T22:43:15.390000003Z', '{"time":"2026-11-23T22:43:15.300Z","level":"info","event":"message_echoed","message":"two"}'],
    ['server-1   | ', '2026-11-23T22:43:15.301000000Z', 'a line without a time of its own,	with a tab | and a bar'],
    ['client1-1  | ', '2026-11-23T22:43:15.302000000Z', ''],
    ['client2-1  | ', '2026-11-23T22:43:15.500000000Z', '2026-11-23 22:43:15.303Z INFO  three'],
    ['server-1   | ', '2026-11-23T22:43:25.000000000Z', '2026-11-23 22:43:25.000Z INFO  four'],
    ['client1-1  | ', '2026-11-23T22:43:25.000000001Z', '2026-11-23 22:43:25.000Z INFO  five'],
);
my $sorted = join '', map { "$_->[0]$_->[2]\n" } @lines;
sub by_container { return map { "$_->[0]$_->[1] $_->[2]\n" } sort { $a->[0] cmp $b->[0] } @_ }
write_file("$bin/log", join '', "Attaching to client1, client2\n", by_container(@lines));
for my $awk (grep { system("command -v $_ >/dev/null 2>&1") == 0 } 'mawk', 'gawk', 'busybox') {
    program('stand-in', "cat $bin/log\n");
    program('awk', $awk eq 'busybox' ? 'exec busybox awk "$@"' : "exec $awk \"\$@\"");
    ($code, $out, $err) = run('compose/lab.sh logs', UP => $healthy);
    is("$code $err", '0 ', "logs, $awk: exit 0");
    is($out, $sorted, '... by time over all containers');

    # What was there comes sorted; what comes later is shown while Compose goes on.
    my @now = map { my $t = POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime time + 5 + $_); "client$_-1  | $t.000000000Z later $_\n" } 1, 2;
    write_file("$bin/new", join '', @now);
    program('stand-in', "cat $bin/log; sleep 2; cat $bin/new; exec sleep 30\n");
    local $SIG{INT} = 'DEFAULT';    # it is ignored in what a shell starts in the background
    my $logs = start_program(["$dir/compose/lab.sh", 'logs'], wrap => ['setsid'], env => { PATH => "$bin:$ENV{PATH}", COMPOSE => 'stand-in', FOLLOW => 1, UP => $healthy, TMPDIR => temp_dir() });
    ok(wait_for_log($logs, qr/later 2/, 15), "logs FOLLOW=1, $awk: new lines are shown");
    is(log_of($logs), "${sorted}client1-1  | later 1\nclient2-1  | later 2\n", '... behind the sorted ones');
    kill 'INT', -$logs->{pid};
    ok(defined exit_of($logs, 10), '... until it is interrupted');
    program('stand-in', "cat $bin/log; exit 3\n");
    is((run('compose/lab.sh logs', FOLLOW => $_, UP => $healthy))[0], 3, "logs FOLLOW='$_', $awk: Compose's code") for 0, 1;
}
($code, $out, $err) = run('compose/lab.sh logs', FOLLOW => 'yes', UP => $healthy);
is("$code $out$err", "2 lab: FOLLOW='yes' is wrong; allowed: 1, or 0\n", "logs: FOLLOW='yes'");
done_testing;
