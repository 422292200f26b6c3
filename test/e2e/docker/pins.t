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
my %pin = slurp('compose/pins') =~ /^([A-Z_]+) (\S+)$/mg;
like($pin{$_}, qr/^[a-z.]+:[\w.-]+\@sha256:[0-9a-f]{64}$/, "$_ is pinned by digest") for qw(BASE BUSYBOX_IMAGE);
my %name = map { $_ => $pin{$_} =~ s/@.*//r } keys %pin;
for my $file ('Dockerfile.server', 'Dockerfile.client') {
    is(join(' ', slurp($file) =~ /^ARG BASE=(\S+)$/mg), $name{BASE}, "$file has the same name as its default");
}
like(slurp('compose/base.yaml'), qr/BUSYBOX_IMAGE:-\Q$name{BUSYBOX_IMAGE}\E\}/, 'base.yaml has the same name as its default');

# ---- a registry that has one image (Docker Registry HTTP API V2) -------------------------------
my (%blob, %manifest);

# An image of one file: its blobs and its manifest, whose digest is returned.
sub publish {
    my ($text) = @_;
    my $dir = temp_dir() . '/image';
    system('mkdir', '-p', $dir) == 0 or die;
    open my $file, '>', "$dir/file" or die;
    print $file $text;
    close $file;
    my $layer  = `tar -C $dir -c file`;
    my $config = encode_json({ architecture => 'amd64', os => 'linux', config => {}, rootfs => { type => 'layers', diff_ids => ['sha256:' . sha256_hex($layer)] } });
    my $zipped = do { open my $out, '>:raw', "$dir.tar" or die; print $out $layer; close $out; `gzip -nc $dir.tar` };
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
system('cp', '-r', 'compose', $dir) == 0 or die;

sub write_pins {
    my ($digest) = @_;
    open my $out, '>', "$dir/compose/pins" or die;
    print $out "# Kept.\nBASE $host/alpine:3.24\@$digest\nBUSYBOX_IMAGE $host/busybox:1.38-musl\@$digest\n";
    close $out;
}
sub images { return command("$dir/compose/images.sh busybox") }
sub forget { system "docker rmi -f \$(docker images -q --filter reference='$host/*' --filter reference='$host/*\@*') >/dev/null 2>&1" }

my $server = registry($listener);
write_pins($old);
my ($code, $out) = images();
is("$code $out", "0 $host/busybox:1.38-musl\@$old\n", 'the digest is there: it is taken, silently');
forget();

my $gone = 'sha256:' . 'a' x 64;
write_pins($gone);
($code, $out) = images();
is($code, 0, 'the digest is gone');
is($out, "images: $gone cannot be had: taking $host/busybox:1.38-musl as it is now\n$host/busybox:1.38-musl\n", '... the name alone is taken, and that is told');

# ---- renewing ----------------------------------------------------------------------------------
($code, $out) = command("$dir/compose/pins.sh");
is($code, 0, 'the pins are renewed') or diag $out;
like($out, qr{^pins: \Q$host\E/alpine:3.24 is \Q$old\E now$}m, '... what changed is told');
is(slurp("$dir/compose/pins"), "# Kept.\nBASE $host/alpine:3.24\@$old\nBUSYBOX_IMAGE $host/busybox:1.38-musl\@$old\n", '... and noted');
is((images())[1], "$host/busybox:1.38-musl\@$old\n", '... and used');
($code, $out) = command("$dir/compose/pins.sh");
is("$code $out", '0 ', '... a second time there is nothing to tell');

# ---- without a registry ------------------------------------------------------------------------
kill 'TERM', $server->{pid};
exit_of($server);
close $listener;
write_pins($gone);
is((images())[1], "images: $gone cannot be had: taking $host/busybox:1.38-musl as it is now\n$host/busybox:1.38-musl\n", 'no registry: an image of that name that is here is taken');
my $before = slurp("$dir/compose/pins");
forget();
($code, $out) = command("$dir/compose/pins.sh");
is($code, 1, '... the pins cannot be renewed');
like($out, qr{^pins: \Q$host\E/alpine:3.24 cannot be pulled$}m, '... that is told');
is(slurp("$dir/compose/pins"), $before, '... and they stay');
is(scalar(() = glob "$dir/compose/.pins*"), 0, '... nothing half-written');
($code, $out) = images();
is($out, "images: $host/busybox:1.38-musl is neither here nor can it be pulled: taking Debian's busybox\necholab-busybox:debian\n", '... the sidecar is made of packages');

# ---- another platform ----------------------------------------------------------------------------
SKIP: {
    skip 'there is buildx here', 2 if system('docker buildx version >/dev/null 2>&1') == 0;
    ($code, $out) = command('PLATFORM=linux/arm64 compose/images.sh server');
    is($code, 1, 'PLATFORM without buildx: exit 1');
    is($out, "images: PLATFORM='linux/arm64' needs buildx; allowed: install it (docker-buildx), or make aarch64\n", '... told why');
}
forget();
done_testing;
