#!/usr/bin/perl
# The pinned images: by digest, by name where the digest is gone, from Debian where there is no
# registry; and how the pins are renewed. The registry is a small one of this test's own.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use IO::Socket::IP;
use JSON::PP;
use POSIX ();
use Test::More;
use Echolab;
use EcholabDocker;

plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;

# ---- names stand in one place, but for the defaults of files that are used without ours --------
my %pin = slurp('tools/pins') =~ /^([A-Z_]+) (\S+)$/mg;
like($pin{$_}, qr/^[a-z.\/]+:[\w.-]+\@sha256:[0-9a-f]{64}$/, "$_ is pinned by digest") for qw(BASE BUSYBOX_IMAGE PROMETHEUS_IMAGE);
my %name = map { $_ => $pin{$_} =~ s/@.*//r } keys %pin;
for my $file ('Dockerfile.server', 'Dockerfile.client') {
    is(join(' ', slurp($file) =~ /^ARG BASE=(\S+)$/mg), $name{BASE}, "$file has the same name as its default");
}
for my $image (qw(BUSYBOX_IMAGE PROMETHEUS_IMAGE)) {
    my @defaults = slurp('compose/base.yaml') =~ /\{$image:-([^}]*)\}/g;
    is_deeply([grep { $_ ne $name{$image} } @defaults, @defaults ? () : 'none'], [], "base.yaml has the same name of $image as its default");
}

# ---- a registry that has one image (Docker Registry HTTP API V2) -------------------------------
my (%blob, %manifest);

# An image of one file: its blobs and its manifest, whose digest is returned.
sub publish {
    my ($text) = @_;
    my $dir = temp_dir() . '/image';
    write_file("$dir/file", $text);
    my $layer  = `tar -C $dir -c file`;
    my $config = encode_json({ architecture => 'amd64', os => 'linux', config => {}, rootfs => { type => 'layers', diff_ids => ['sha256:' . sha256_hex($layer)] } });
    my $zipped = do { write_file("$dir.tar", $layer); `gzip -nc $dir.tar` };
    $blob{ 'sha256:' . sha256_hex($_) } = $_ for $config, $zipped;
    my $manifest = JSON::PP->new->canonical->encode({
        schemaVersion => 2, mediaType => 'application/vnd.docker.distribution.manifest.v2+json',
        config => { mediaType => 'application/vnd.docker.container.image.v1+json', size => length $config, digest => 'sha256:' . sha256_hex($config) },
        layers => [{ mediaType => 'application/vnd.docker.image.rootfs.diff.tar.gzip', size => length $zipped, digest => 'sha256:' . sha256_hex($zipped) }],
    });
    my $digest = 'sha256:' . sha256_hex($manifest);
    @manifest{ $digest, '3.24', '1.38-musl' } = ($manifest) x 3;
    return $digest;
}

sub registry {
    my ($listener) = @_;
    my $pid = fork // die;
    if ($pid == 0) {
        alarm 120;
        while (my $s = $listener->accept) {
            my ($method, $path) = (readline($s) // '') =~ /^(GET|HEAD) (\S+)/;
            while (defined(my $line = readline $s)) { last if $line =~ /^\r?\n$/ }
            my ($kind, $what) = ($path // '') =~ m{^/v2/\w+/(manifests|blobs)/(\S+)$};
            my $body = ($path // '') eq '/v2/' ? '{}' : !$kind ? undef : $kind eq 'blobs' ? $blob{$what} : $manifest{$what};
            my $type = ($kind // '') eq 'manifests' ? 'application/vnd.docker.distribution.manifest.v2+json' : 'application/octet-stream';
            my $head = defined $body ? "HTTP/1.1 200 OK\r\nContent-Type: $type\r\nDocker-Content-Digest: sha256:" . sha256_hex($body)
                : "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain";
            print $s "$head\r\nContent-Length: " . length($body // '') . "\r\nConnection: close\r\n\r\n", ($method // '') eq 'GET' ? $body // '' : '';
            close $s;
        }
        POSIX::_exit(0);
    }
    return $Echolab::running{$pid} = { pid => $pid, out => '/dev/null' };
}

my $old      = publish('old');
my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 16, ReuseAddr => 1) or die;
my $host     = '127.0.0.1:' . $listener->sockport;
my $dir      = temp_dir();
system('cp', '-r', 'tools', $dir) == 0 or die;
# A stand-in of Debian's busybox that is here already would be taken at once.
my $stand_in = "echolab-test-busybox-$$:debian";
system('sed', '-i', "s/^debian_busybox=.*/debian_busybox=$stand_in/", "$dir/tools/images.sh") == 0 or die;
END { my $status = $?; system "docker rmi $stand_in >/dev/null 2>&1" if $stand_in; $? = $status }

sub write_pins {
    my ($digest) = @_;
    write_file("$dir/tools/pins", "# Kept.\nBASE $host/alpine:3.24\@$digest\nBUSYBOX_IMAGE $host/busybox:1.38-musl\@$digest\n");
}
sub images { return command("$dir/tools/images.sh busybox") }
sub forget { system "docker rmi -f \$(docker images -q --filter reference='$host/*' --filter reference='$host/*\@*') >/dev/null 2>&1" }

my $server = registry($listener);
write_pins($old);
my ($code, $out) = images();
is($code, 0, 'the digest is there: exit 0');
my $pinned = "$host/busybox:1.38-musl\@$old";
like($out, qr{\Aimages: pulling \Q$pinned\E: at most 30 s\n(?:  \d.*\n)*  done in \d+ s\n\Q$pinned\E\n\z}, 'the digest is there: it is taken');
is((images())[1], "$pinned\n", 'the digest is here: nothing is said');
forget();

my $gone = 'sha256:' . 'a' x 64;
write_pins($gone);
($code, $out) = images();
is($code, 0, 'the digest is gone: exit 0');
my $by_name = "images: $gone cannot be had: taking $host/busybox:1.38-musl as it is now\n$host/busybox:1.38-musl\n";
like($out, qr{^images: it cannot be pulled: .*\n(?:.*\n)*\Q$by_name\E\z}m, 'the digest is gone: the name alone is taken, and it says so');
is((images())[1], $by_name, 'the digest is gone: the next time it is not looked for');

# ---- renewing ----------------------------------------------------------------------------------
($code, $out) = command("$dir/tools/pins.sh");
is($code, 0, 'renewing the pins: exit 0') or diag $out;
like($out, qr{^pins: \Q$host\E/alpine:3.24 is \Q$old\E now$}m, 'renewing the pins: it says what changed');
is(slurp("$dir/tools/pins"), "# Kept.\nBASE $host/alpine:3.24\@$old\nBUSYBOX_IMAGE $host/busybox:1.38-musl\@$old\n", 'renewing the pins: what changed stands in the file');
is((images())[1], "$host/busybox:1.38-musl\@$old\n", 'renewing the pins: the new digest is used');
($code, $out) = command("$dir/tools/pins.sh");
is("$code $out", '0 ', 'renewing the pins a second time: exit 0, and nothing to say');

# ---- without a registry ------------------------------------------------------------------------
kill 'TERM', $server->{pid};
exit_of($server);
close $listener;
write_pins($gone);
is((images())[1], $by_name, 'without a registry: an image of that name that is here is taken');
my $before = slurp("$dir/tools/pins");
forget();
($code, $out) = command("$dir/tools/pins.sh");
is($code, 1, 'without a registry: renewing the pins ends with exit 1');
like($out, qr{^pins: \Q$host\E/alpine:3.24 cannot be pulled$}m, 'without a registry: it says which image cannot be pulled');
is(slurp("$dir/tools/pins"), $before, 'without a registry: the pins stay as they are');
is(scalar(() = glob "$dir/tools/.pins*"), 0, 'without a registry: no half-written pins are left');
command('tools/setup.sh base');    # says what it installs, on a new machine
($code, $out) = images();
like($out, qr{^images: \Q$host\E/busybox:1.38-musl is neither here nor can it be pulled: taking Debian's busybox\n(?:.*\n)*\Q$stand_in\E\n\z}m, 'without a registry: the sidecar is made of packages');
is((images())[1], "$stand_in\n", 'without a registry: the next time it is taken at once');

# ---- another platform ----------------------------------------------------------------------------
SKIP: {
    skip 'there is buildx here', 2 if system('docker buildx version >/dev/null 2>&1') == 0;
    ($code, $out) = command('PLATFORM=linux/arm64 tools/images.sh server');
    is($code, 1, 'PLATFORM without buildx: exit 1');
    is($out, "images: PLATFORM='linux/arm64' needs buildx, for which Debian 12 has no package; allowed: docker-buildx-plugin of Docker's own packages (docs.docker.com/engine/install/debian), or for the programs alone, without an image: make aarch64\n", 'PLATFORM without buildx: it says why, and what to do');
}
forget();
done_testing;
