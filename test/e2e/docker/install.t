#!/usr/bin/perl
# Building on another base: the commands that install the toolchain, and what is said where they
# fail. The bases are stand-ins that are made here.
use strict;
use warnings;
use Test::More;
use Echolab;
use EcholabDocker;

plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;

# A name of ours for what is built, so that the others' images stay.
my %name = map { $_ => "echolab-test-install-$_-$$:latest" } qw(server client);
my @made = values %name;
END { my $status = $?; command("docker rmi -f $_") for @made; system 'rm', '-rf', map { "$EcholabDocker::top/build/images/" . s/:.*//r } values %name; $? = $status }

sub images { my ($verb, %env) = @_; return command("tools/images.sh $verb=$name{$verb}", %env) }
sub last_line { my ($text) = @_; return (split /\n/, $text)[-1] // '' }

# ---- an Alpine whose mirror is out of reach --------------------------------------------------
my ($code, $out) = command('tools/images.sh busybox');
my $busybox = last_line($out);
is($code, 0, "busybox is there: $busybox");

# A base that has only busybox and a package manager, which says and does as told.
sub base_with {
    my ($tag, $manager, $script) = @_;
    my $dir = temp_dir() . "/$tag";
    system('mkdir', $dir) == 0 or die;
    for (["$dir/$manager", "#!/bin/sh\n$script"], ["$dir/Dockerfile", "FROM $busybox\nUSER 0\nCOPY $manager /bin/$manager\n"]) {
        open my $file, '>', $_->[0] or die;
        print $file $_->[1];
        close $file;
    }
    chmod 0755, "$dir/$manager";
    push @made, my $image = "echolab-test-$tag-$$:latest";
    my ($failed, $said) = command("docker build -q -t $image $dir");
    is($failed, 0, "a base: $tag") or diag $said;
    return $image;
}

my %mirror = (
    apk => <<'EOT', 'apk-old' => <<'EOT2', 'apt-get' => <<'EOT3');
echo 'WARNING: updating and opening https://dl-cdn.alpinelinux.org/alpine/v3.24/main/x86_64/APKINDEX.tar.gz: DNS: transient error (try again later)' >&2
echo 'ERROR: unable to select packages:' >&2
echo '  build-base (no such package):' >&2
exit 1
EOT
echo 'WARNING: Ignoring https://dl-cdn.alpinelinux.org/alpine/v3.18/main: network error (check Internet connection and firewall)' >&2
exit 2
EOT2
echo 'Err:1 http://deb.debian.org/debian bookworm InRelease' 
echo "  Temporary failure resolving 'deb.debian.org'"
exit 100
EOT3
for my $case (['apk', 'apk', undef], ['apk-old', 'apk', undef], ['apt-get', 'apt-get', 'apt-get update && apt-get install -y gcc']) {
    my ($tag, $manager, $install) = @$case;
    my $base = base_with("mirror-$tag", $manager, $mirror{$tag});
    for my $image ('server', 'client') {
        ($code, $out) = images($image, BASE => $base, INSTALL => $install // '');
        is($code, 3, "$tag: the mirror is out of reach, $image: an exit code of its own");
        like(last_line($out), qr/^images: \Q$base\E is here, but the mirror of its packages is out of reach; allowed: .*\bBASE\b.*\bINSTALL\b/,
            '... and one line that says so and what to set');
    }
}
my $wrong = base_with('wrong', 'apk', "echo 'ERROR: no such option' >&2\nexit 2\n");
($code, $out) = images('server', BASE => $wrong);
is($code, 3, 'a toolchain that cannot be installed for another reason: the same exit code');
like(last_line($out), qr/^images: INSTALL failed on \Q$wrong\E; allowed: /, '... and that is said');
like($out, qr/no such option/, '... beside what it said itself');

# ---- commands of the shell -------------------------------------------------------------------
for my $install ('test -d / && touch /installed && test ! -e "&&"', 'if true; then x="a  b"; test "$x" = "a  b"; fi | cat') {
    ($code, $out) = images('server', BASE => 'echolab-base:debian', INSTALL => $install);
    is($code, 0, "INSTALL='$install' works") or diag $out;
}
($code, $out) = images('server', BASE => 'echolab-base:debian', INSTALL => 'true && test -e /no');
is($code, 3, 'the last one fails: so does the build');
($code, $out) = images('client', BASE => 'echolab-base:debian', INSTALL => '');
is($code, 0, 'BASE=echolab-base:debian needs no INSTALL') or diag $out;
done_testing;
