#!/usr/bin/perl
# Images built again from another folder, without the cache, at the same SOURCE_DATE_EPOCH: the
# same layer, bit by bit, with both builders; and the same bill of materials beside it.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Echolab;
use EcholabDocker;

plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;

my $copy = temp_dir() . '/elsewhere';
system('mkdir', $copy) == 0 && system('cp', '-r', 'Makefile', 'src', 'tools', 'LICENSE', 'docs', '.dockerignore', 'Dockerfile.server', 'Dockerfile.client', $copy) == 0 or die;
system('find', $copy, '-exec', 'touch', '{}', '+');

# Build an image in a folder. Returns its layers' digests, its files with time and checksum, and
# the bill of materials; nothing if this docker client cannot do it.
sub build {
    my ($program, $dir, %env) = @_;
    my $image = 'echolab-test:again';
    my ($code, $out) = command("$dir/tools/images.sh $program=$image", CACHE => 'no', %env);
    return if $out =~ /buildx component is missing/;
    is($code, 0, "the $program image is built in $dir without the cache") or diag $out;
    my $tar = temp_dir() . '/image';
    system("rm -rf $tar && mkdir $tar && docker save $image | tar -x -C $tar") == 0 or die;
    my @layers = @{ decode_json(slurp("$tar/manifest.json"))->[0]{Layers} };
    my %built  = (layers => join(' ', @{ inspect($image)->{RootFS}{Layers} }),
        created => inspect($image)->{Config}{Labels}{'org.opencontainers.image.created'},
        files => join('', map { `tar --full-time -tvf $tar/$_; tar -xOf $tar/$_ | sha256sum` } @layers),
        sbom => slurp("$dir/build/images/echolab-test/echo-$program.spdx.json"));
    system "docker rmi $image >/dev/null 2>&1; rm -r $dir/build/images/echolab-test";
    return \%built;
}

# What differs first between two of them.
sub first_difference {
    my ($a, $b) = @_;
    for my $what ('files', 'sbom', 'layers') {
        my @a = split /\n/, $a->{$what};
        my @b = split /\n/, $b->{$what};
        for my $i (0 .. ($#a > $#b ? $#a : $#b)) {
            my ($x, $y) = map { $_ // 'nothing' } $a[$i], $b[$i];
            return "$what: $x\n     but: $y" if $x ne $y;
        }
    }
    return '';
}

# The classic builder; BuildKit as the client has it; and that of the other client, if there are
# two: Debian's has BuildKit built in, a newer one needs buildx.
# The copy has no commit of its own.
my %epoch = (SOURCE_DATE_EPOCH => 1700000000, REVISION => 'f00');
my @ways  = (['the classic builder', DOCKER_BUILDKIT => 0], ['BuildKit', DOCKER_BUILDKIT => 1],
    ["BuildKit of /usr/bin/docker", DOCKER_BUILDKIT => 1, PATH => "/usr/bin:$ENV{PATH}"]);
my ($kits, $first) = (0);
for my $way (@ways) {
    my ($name, %env) = @$way;
    next if $kits && $name =~ /usr/;
    for my $program ('server', 'client') {
        my $here = build($program, '.', %env, %epoch);
      SKIP: {
            skip "$name: this docker client has no buildx", 2 if !$here;
            my $there = build($program, $copy, %env, %epoch);
            is(first_difference($here, $there), '', "$name: echo-$program from another folder has the same layer and bill of materials");
            is($here->{created}, '2023-11-14T22:13:20Z', "$name: the image of echo-$program was created at SOURCE_DATE_EPOCH");
            $kits++ if $name =~ /Kit/;
            $first //= $here;
        }
    }
}
cmp_ok($kits, '>', 0, 'BuildKit was among them');

# The comparison must be able to fail.
my $later = build('server', '.', DOCKER_BUILDKIT => 0, %epoch, SOURCE_DATE_EPOCH => 1700000001);
like(first_difference($first, $later), qr/^files: .*22:13:20 echo-server\n     but: .*22:13:21 echo-server$/, 'another time is another layer, and the comparison says where');

my ($code, $out) = command('SOURCE_DATE_EPOCH=tomorrow tools/images.sh server');
is($code, 1, 'a wrong SOURCE_DATE_EPOCH: exit 1');
like($out, qr/SOURCE_DATE_EPOCH='tomorrow' is no time; allowed: /, 'a wrong SOURCE_DATE_EPOCH: it says what is allowed');
done_testing;
