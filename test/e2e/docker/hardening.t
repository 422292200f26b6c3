#!/usr/bin/perl
# The CIS Docker Benchmark's sections on images and on containers: each item that a program can
# check, on both images and all containers of the lab. Each check is made on something bad, too,
# and has to find it. docs/hardening.md has one row for each item, whether it is checked or not.
use strict;
use warnings;
use IO::Socket::IP;
use JSON::PP;
use Test::More;
use Echolab;
use EcholabDocker;

my ($compose) = composes();
plan skip_all => 'no Docker with Compose here' if !$compose || system('docker info >/dev/null 2>&1') != 0;
my $engine    = `docker info --format '{{.SecurityOptions}}'`;
my $bad_image = "echolab-test:hardening-$$";
my @bad_ids;
$SIG{INT} = $SIG{TERM} = sub { exit 1 };    # through END

END {
    my $status = $?;
    system "docker rm -f @bad_ids >/dev/null 2>&1" if @bad_ids;
    system "docker rmi $bad_image >/dev/null 2>&1" if $bad_image;
    $? = $status;
}

# ---- what is looked at -------------------------------------------------------------------

# A Dockerfile or script, one instruction a line, without comments, with ARG's defaults put in.
sub recipe {
    my ($text) = @_;
    $text =~ s/^\s*#.*\n//mg;
    $text =~ s/\\\n//g;
    my %default = $text =~ /^ARG (\w+)="?([^"\n]*)/mg;
    $text =~ s/\$\{(\w+)\}/$default{$1} \/\/ ''/ge;
    return $text;
}

# An image: what it declares, its history, its files as [mode, path].
sub image {
    my ($name, $program) = @_;
    my $dir = temp_dir() . "/$program";
    mkdir $dir;
    system("docker save $name | tar -x -C $dir") == 0 or die "docker save $name";
    my @layers = @{ decode_json(slurp("$dir/manifest.json"))->[0]{Layers} };
    my @files  = map { [(split)[0, -1]] } grep { !m{/$} } map { split /\n/, `tar -tvf $dir/$_` } @layers;
    return { %{ inspect($name)->{Config} }, program => $program, files => \@files,
        history => scalar `docker history --no-trunc --format '{{.CreatedBy}}' $name` };
}

# A process, with the ports that it should listen on.
sub process {
    my ($pid, $program, $ports) = @_;
    return { pid => $pid, program => $program, ports => $ports, status => slurp("/proc/$pid/status") };
}

# The ports that somebody listens on in its network namespace, but for Docker's own name server.
sub listening {
    my ($pid) = @_;
    my %ports;
    for my $line (map { split /\n/, slurp("/proc/$pid/net/$_") } 'tcp', 'tcp6') {
        my ($address, $port, $state) = $line =~ /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ (\w\w) / or next;
        $ports{ hex $port } = 1 if $state eq '0A' && $address ne '0B00007F';    # LISTEN, 127.0.0.11
    }
    return join ' ', sort { $a <=> $b } keys %ports;
}

sub namespace { my ($pid, $kind) = @_; return readlink("/proc/$pid/ns/$kind") // die "namespaces of $pid: $!" }

# Is the namespace of this kind another one than this test's?
sub own { my ($kind) = @_; return sub { namespace($_->{pid}, $kind) ne namespace($$, $kind) } }

# What else than its program runs in its PID namespace? Docker's beginning of a health check does
# for a moment.
sub runs_nothing_else {
    my ($p) = @_;
    my $ns = namespace($p->{pid}, 'pid');
    return wait_for(sub {
        my @pids = grep { (readlink("/proc/$_/ns/pid") // '') eq $ns } map { m{(\d+)$} } glob '/proc/[0-9]*';
        return @pids && !grep { slurp("/proc/$_/comm") !~ /^(?:\Q$p->{program}\E)?$/ } @pids;
    }, 1);
}

# All the ports that a container publishes: {HostIp, HostPort}.
sub published {
    my ($c) = @_;
    return map { @{ $_ // [] } } map { values %{ $_ // {} } } $c->{HostConfig}{PortBindings}, $c->{NetworkSettings}{Ports};
}

sub is_option { my ($pattern) = @_; return scalar grep { /$pattern/ } @{ $_->{HostConfig}{SecurityOpt} // [] } }
sub is_empty  { my ($key) = @_; return sub { !@{ $_->{HostConfig}{$key} // [] } } }
sub is_not    { my ($key, $bad) = @_; return sub { ($_->{HostConfig}{$key} // '') ne $bad } }

# ---- the checks: item, kind of subject, what holds, true for $_ if it does ---------------

my $number   = qr/^[1-9]\d*:[1-9]\d*$/;
my $secret   = qr/passw|secret|token|credential|api_?key|private.?key/i;
my $unsigned = qr{allow-untrusted|allow-unauthenticated|allow-insecure|force-yes|nogpgcheck|trusted=yes|\b(?:curl|wget)\s+(?:-|\S*(?:/|\$\w))|^ADD\s+http}m;
my @checks   = (
    ['4.1', image      => 'names a user by a number that is not root', sub { ($_->{User} // '') =~ $number }],
    ['4.1', container  => 'has such a user',          sub { ($_->{Config}{User} // '') =~ $number }],
    ['4.1', process    => 'runs as it',               sub { $_->{status} =~ /^Uid:(?:\s+65532){4}\nGid:(?:\s+65532){4}$/m }],
    ['4.2', dockerfile => 'ends in an empty image',   sub { (/^FROM\s+(\S+)/mg)[-1] eq 'scratch' }],
    ['4.2', dockerfile => 'builds on official images of a named version',
        sub { !grep { !/^(?:scratch|(?:alpine|debian):(?!latest)\w\S*)$/ } /^FROM\s+(\S+)/mg }],
    ['4.3', image      => 'holds one file, the program', sub { "@{[map { $_->[1] } @{ $_->{files} }]}" eq $_->{program} }],
    ['4.6', healthy_image => 'has a health check',    sub { ($_->{Healthcheck}{Test}[0] // 'NONE') =~ /^CMD/ }],
    ['4.7', dockerfile => 'updates package lists only where it installs',
        sub { !grep { /\b(?:update|upgrade)\b/ && !/\b(?:add|install)\b/ } /^(?:RUN|ARG) .*/mg }],
    ['4.8', image      => 'has no setuid or setgid file', sub { !grep { $_->[0] =~ /s/i } @{ $_->{files} } }],
    ['4.9', dockerfile => 'has no ADD',               sub { !/^\s*ADD\b/mi }],
    ['4.9', image      => 'was made without ADD',     sub { $_->{history} !~ /\bADD\b/ }],
    ['4.10', dockerfile => 'has no secret',           sub { $_ !~ $secret }],
    ['4.10', image     => 'has none in its environment, history and labels',
        sub { join("\n", @{ $_->{Env} // [] }, $_->{history}, %{ $_->{Labels} // {} }) !~ $secret }],
    ['4.10', image     => 'names no URL with a user', sub { join("\n", $_->{history}, %{ $_->{Labels} // {} }) !~ m{https?://[^/\s]*@} }],
    ['4.11', recipe    => 'turns no check of signatures off, downloads nothing by itself', sub { $_ !~ $unsigned }],
    ['5.2', container  => 'leaves AppArmor on, where it is there', sub {
        !is_option('^apparmor[=:]unconfined') && $_->{AppArmorProfile} ne 'unconfined' &&
            ($engine !~ /name=apparmor/ || !$_->{State}{Running} || $_->{AppArmorProfile} ne '') }],
    ['5.3', container  => 'leaves SELinux on, where it is there', sub {
        !is_option('^label[=:]disable') && ($engine !~ /name=selinux/ || !$_->{State}{Running} || $_->{ProcessLabel} ne '') }],
    ['5.4', container  => 'adds no capability',       is_empty('CapAdd')],
    ['5.4', container  => 'drops all',                sub { grep { $_ eq 'ALL' } @{ $_->{HostConfig}{CapDrop} // [] } }],
    ['5.4', process    => 'has none, and can get none', sub { 5 == (() = $_->{status} =~ /^Cap(?:Inh|Prm|Eff|Bnd|Amb):\s+0+$/mg) }],
    ['5.5', container  => 'is not privileged',        sub { !$_->{HostConfig}{Privileged} }],
    ['5.6', container  => 'mounts no directory of the host', sub { !grep { -d $_->{Source} } @{ $_->{Mounts} } }],
    ['5.6', container  => 'mounts only for reading',  sub { !grep { $_->{RW} } @{ $_->{Mounts} } }],
    ['5.7', process    => 'is alone: nothing but the program runs', sub { runs_nothing_else($_) }],
    ['5.8', container  => 'publishes no port below 1024', sub { !grep { $_->{HostPort} && $_->{HostPort} < 1024 } published($_) }],
    ['5.9', container  => 'declares the one port at most', sub { !grep { $_ ne '12345/tcp' } keys %{ $_->{Config}{ExposedPorts} // {} } }],
    ['5.9', container  => 'publishes none',           sub { !published($_) && !$_->{HostConfig}{PublishAllPorts} }],
    ['5.9', process    => 'listens on its own port and the admin port only', sub { listening($_->{pid}) eq $_->{ports} }],
    ['5.10', container => "does not share the host's network", is_not(NetworkMode => 'host')],
    ['5.10', process   => 'has a network namespace of its own', own('net')],
    ['5.11', container => 'has a memory limit',       sub { $_->{HostConfig}{Memory} > 0 }],
    ['5.12', container => 'has a CPU weight of its own', sub { ($_->{HostConfig}{CpuShares} // 0) !~ /^(?:0|1024)$/ }],
    ['5.13', container => 'is read-only',             sub { $_->{HostConfig}{ReadonlyRootfs} }],
    ['5.13', process   => 'sees / mounted read-only', sub { slurp("/proc/$_->{pid}/mountinfo") =~ m{^\S+ \S+ \S+ \S+ / ro\b}m }],
    ['5.14', container => 'publishes no port on every interface', sub { !grep { $_->{HostIp} =~ /^(?:|0\.0\.0\.0|::)$/ } published($_) }],
    ['5.15', container => 'is restarted never, or 5 times at most after a failure', sub {
        my $policy = $_->{HostConfig}{RestartPolicy};
        $policy->{Name} =~ /^(?:no)?$/ || $policy->{Name} eq 'on-failure' && $policy->{MaximumRetryCount} =~ /^[1-5]$/ }],
    ['5.16', container => "does not share the host's processes", is_not(PidMode => 'host')],
    ['5.16', process   => 'has a PID namespace of its own', own('pid')],
    ['5.17', container => "does not share the host's IPC", is_not(IpcMode => 'host')],
    ['5.17', process   => 'has an IPC namespace of its own', own('ipc')],
    ['5.18', container => 'has no device of the host', is_empty('Devices')],
    ['5.19', container => "keeps the engine's ulimits", is_empty('Ulimits')],
    ['5.20', container => 'shares no mount',          sub { !grep { ($_->{Propagation} // '') =~ /^r?shared$/ } @{ $_->{Mounts} } }],
    ['5.21', container => "does not share the host's name", is_not(UTSMode => 'host')],
    ['5.21', process   => 'has a UTS namespace of its own', own('uts')],
    ['5.22', container => "does not disable the engine's seccomp profile", sub { !is_option('^seccomp[=:]unconfined') }],
    ['5.22', process   => "is behind the engine's filter and its own", sub { $_->{status} =~ /^Seccomp_filters:\s+2$/m }],
    ['5.25', container => "is in Docker's own cgroup", sub { ($_->{HostConfig}{CgroupParent} // '') eq '' }],
    ['5.26', container => 'can gain no privilege',    sub { is_option('^no-new-privileges(?:[=:]true)?$') }],
    ['5.26', process   => 'has NoNewPrivs set',       sub { $_->{status} =~ /^NoNewPrivs:\s+1$/m }],
    ['5.27', healthy   => 'is healthy',               sub { ($_->{State}{Health}{Status} // '') eq 'healthy' }],
    ['5.29', container => 'has a limit of processes, with room for 64 threads', sub { ($_->{HostConfig}{PidsLimit} // 0) >= 80 }],
    ['5.30', container => 'is in no default network', sub {
        !grep { /^(?:bridge|default)$/ } $_->{HostConfig}{NetworkMode}, keys %{ $_->{NetworkSettings}{Networks} } }],
    ['5.31', container => "does not ask for the host's users", is_not(UsernsMode => 'host')],
    ['5.32', container => "does not get the engine's socket", sub { !grep { "$_->{Source} $_->{Destination}" =~ /docker\.sock/ } @{ $_->{Mounts} } }],
);

# ---- the doc -----------------------------------------------------------------------------

# What is wrong with docs/hardening.md, given the items that were checked; and its titles.
sub doc_faults {
    my ($doc, $checked) = @_;
    my (%rows, @faults);
    for (split /\n/, $doc) {
        my ($item, $title, $verdict, $how) = /^\| *(\d+\.\d+) *\|([^|]+)\|([^|]+)\|([^|]+)\|$/ or next;
        s/^ +| +$//g for $title, $verdict, $how;
        push @{ $rows{$item} }, { title => $title, verdict => $verdict, how => $how };
    }
    for my $item ((map { "4.$_" } 1 .. 12), (map { "5.$_" } 1 .. 32)) {
        my ($row, $more) = @{ delete $rows{$item} // [] };
        push @faults, "$item: no row" and next if !$row;
        push @faults, "$item: two rows" if $more;
        push @faults, "$item: verdict '$row->{verdict}'" if $row->{verdict} !~ /^(?:passes|does not apply|left to the operator)$/;
        push @faults, "$item: no title or no reason" if $row->{title} !~ /\w/ || $row->{how} !~ /\w/;
        push @faults, "$item: passes, but is not checked" if $row->{verdict} eq 'passes' && !$checked->{$item};
        push @faults, "$item: is checked, but does not pass" if $row->{verdict} ne 'passes' && $checked->{$item};
    }
    push @faults, map { "$_: no such item" } sort keys %rows;
    return @faults;
}

# ---- what is good ------------------------------------------------------------------------

my %name = (server => $ENV{SERVER_IMAGE} // 'echolab-server:latest', client => $ENV{CLIENT_IMAGE} // 'echolab-client:latest');
for my $name (sort keys %name) {
    my ($code, $out) = command("tools/images.sh $name");
    is($code, 0, "the $name image is built") or die $out;
}
my $lab = new_lab($compose);
edit_config($lab, 'client.ini', loop_lapse => '0s', loop_period => '100ms');
lab($lab, 'generate 1');
my ($code, $out) = lab($lab, 'up');
is($code, 0, 'the lab is up') or die $out;

# The sidecar lives for one message: it is only created, from an image that is there.
($code, $out) = command("$compose -p $lab->{project} -f $lab->{dir}/compose/lab.yaml --profile test up --no-start netcat",
    BUSYBOX_IMAGE => $name{server});
is($code, 0, 'the sidecar is created') or die $out;
my %container = map { $_ => inspect(container($lab, $_)) } qw(server client1 netcat);

my %good = (
    dockerfile => { map { ("Dockerfile.$_" => recipe(slurp("Dockerfile.$_"))) } sort keys %name },
    image      => { map { ("the $_ image" => image($name{$_}, "echo-$_")) } sort keys %name },
    container  => \%container,
    process    => {
        server  => process($container{server}{State}{Pid},  'echo-server', '9100 12345'),
        client1 => process($container{client1}{State}{Pid}, 'echo-client', '9100'),
    },
    healthy => { server => $container{server} },
);
$good{healthy_image} = { 'the server image' => $good{image}{'the server image'} };
$good{recipe} = { %{ $good{dockerfile} }, map { ($_ => recipe(slurp($_))) } 'tools/images.sh', 'tools/setup.sh' };

# ---- what is bad: a Dockerfile, an image, two containers that never run, this test itself -

my $root = temp_dir() . '/root';
for my $file ('echo-server', 'su', 'docker.sock') {
    chmod 04755, write_file("$root/$file", '');
}
system("tar -C $root -c echo-server su | docker import -c 'USER root' -c 'ENV DB_PASSWORD=x' " .
    "-c 'LABEL org.opencontainers.image.source=https://me:x\@example.org/' - $bad_image >/dev/null") == 0 or die;
for my $options (
    '--privileged --network host --pid host --ipc host --uts host --userns host --cap-add SYS_ADMIN --device /dev/null ' .
        '--user 0 --ulimit nofile=64:64 --cgroup-parent bad.slice --restart always --no-healthcheck ' .
        '--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt label=disable ' .
        "-v /etc:/mnt:shared -v $root/docker.sock:/docker.sock",
    '-p 80:12345 --expose 22')
{
    push @bad_ids, `docker create $options $name{server} 2>&1` =~ /^([0-9a-f]{64})$/m or die "docker create $options";
}
my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1) or die;

my %bad = (
    dockerfile => [ recipe(<<'BAD') ],
FROM somebody/something
RUN apt-get update
ENV DB_PASSWORD=x
ADD https://example.org/tool.tar.gz /
RUN apk add --allow-untrusted tool.apk
BAD
    image     => [ { %{ image($bad_image, 'echo-server') }, history => 'ADD file:1234 in /' } ],
    container => [ map { inspect($_) } @bad_ids ],
    process   => [ process($$, 'echo-server', '') ],
);
@bad{qw(recipe healthy_image healthy)} = @bad{qw(dockerfile image container)};

# ---- check -------------------------------------------------------------------------------

my $doc   = slurp('docs/hardening.md');
my %title = $doc =~ /^\| *(\d+\.\d+) *\| *([^|]+?) *\|/mg;
my (%seen, %checked);
for my $item (grep { !$seen{$_}++ } map { $_->[0] } @checks) {
    subtest "$item " . ($title{$item} // '') => sub {
        for my $check (grep { $_->[0] eq $item } @checks) {
            my (undef, $kind, $what, $holds) = @$check;
            for my $subject (sort keys %{ $good{$kind} }) {
                local $_ = $good{$kind}{$subject};
                ok($holds->(), "$subject $what");
                $checked{$item}++;
            }
            ok(scalar(grep { !$holds->() } @{ $bad{$kind} }), "the check '$what' finds the bad $kind");
        }
    };
}

is_deeply([doc_faults($doc, \%checked)], [], 'docs/hardening.md has a row for each item, and passes what is checked here');
my %edit = (
    '5.5: no row'                         => sub { s/^\| 5\.5 .*\n//m },
    '5.5: two rows'                       => sub { s/^(\| 5\.5 .*\n)/$1$1/m },
    "5.5: verdict 'is fine'"              => sub { s/^(\| 5\.5 .*)\| passes \|/$1| is fine |/m },
    '5.5: is checked, but does not pass'  => sub { s/^(\| 5\.5 .*)\| passes \|/$1| left to the operator |/m },
    '4.5: passes, but is not checked'     => sub { s/^(\| 4\.5 .*)\| left to the operator \|/$1| passes |/m },
    '5.33: no such item'                  => sub { s/\z/\n| 5.33 | x | passes | x |\n/ },
);
for my $fault (sort keys %edit) {
    local $_ = $doc;
    $edit{$fault}->();
    ok(scalar(grep { $_ eq $fault } doc_faults($_, \%checked)), "a wrong row of docs/hardening.md is found, $fault");
}

$listener->close;
done_testing();
