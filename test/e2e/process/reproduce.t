#!/usr/bin/perl
# Two builds in different folders, at different times, by different users, with different
# settings of their sessions give the same bytes.
use strict;
use warnings;
use Digest::SHA;
use Test::More;
use Echolab;

plan skip_all => 'the programs as shipped are built twice' if $Echolab::build ne 'build';

sub sha256 { my ($path) = @_; return Digest::SHA->new(256)->addfile($path)->hexdigest }

# A copy of what a build needs, in a folder of its own, its files as old as told.
sub copy_to {
    my ($dir, $date) = @_;
    system('mkdir', '-p', $dir) == 0 && system('cp', '-r', 'Makefile', 'src', $dir) == 0 or die;
    system('find', $dir, '-exec', 'touch', '-h', '-d', $date, '{}', '+') == 0 or die;
    return $dir;
}

# Where two files differ first: the section, and the offset in it.
sub first_difference {
    my ($a, $b) = @_;
    my ($at) = `cmp '$a' '$b' 2>&1` =~ /byte (\d+)/ or return 'their lengths';
    for (split /\n/, `readelf -SW '$a'`) {
        my ($name, $offset, $size) = /\]\s+(\S+)\s+[A-Z]\S+\s+[0-9a-f]{16}\s+([0-9a-f]+)\s+([0-9a-f]+)\s/ or next;
        return sprintf '%s + %d', $name, $at - 1 - hex $offset if $at > hex $offset && $at <= hex($offset) + hex $size;
    }
    return "byte $at, outside of the sections";
}

# The copies have no commit of their own, so they are told that of the build here.
my $revision = slurp('build/revision') =~ s/\n//r || 'unknown';
my $first  = copy_to(temp_dir() . '/first', '2001-09-09 01:46:40 UTC');
my $second = copy_to(temp_dir() . '/second/with a longer name', '2020-02-02 20:02:02 UTC');
is(system("cd '$first' && env -i PATH=\"\$PATH\" REVISION=$revision make build >log 2>&1"), 0, 'a first build: exit 0') or diag slurp("$first/log");
my @other_user = $> == 0 && system('setpriv --reuid=65534 --clear-groups true 2>/dev/null') == 0 ? qw(setpriv --reuid=65534 --clear-groups) : ();
system('chmod', '755', temp_dir());
system('chown', '-R', '65534', temp_dir() . '/second') if @other_user;
is(system("cd '$second' && umask 077 && TZ=Asia/Tokyo LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH=1 REVISION=$revision @other_user make -j2 build >log 2>&1"), 0,
    'a second build, in another folder, time, locale' . (@other_user ? ', by another user' : '') . ': exit 0') or diag slurp("$second/log");
for my $program ('echo-server', 'echo-client') {
    my ($a, $b) = ("$first/build/$program", "$second/build/$program");
    is(sha256($a), sha256($b), "$program: both builds have the same bytes") or diag 'they differ first in ', first_difference($a, $b);
  SKIP: {
        skip 'the one here has flags of its own', 1 if ($ENV{MAKEFLAGS} // '') =~ /FLAGS=|CC=/;
        is(sha256($a), sha256("build/$program"), "$program: the one here has the same bytes") or diag 'it differs first in ', first_difference($a, "build/$program");
    }
}

# The comparison must be able to fail, and say where.
is(system(qq(cd '$first' && sed -i 's/"SIGTERM"/"SIGTORM"/' src/io/selfpipe.c && grep -q SIGTORM src/io/selfpipe.c && REVISION=$revision make build/echo-server >log 2>&1)), 0, 'another text in the source: exit 0');
isnt(sha256("$first/build/echo-server"), sha256("$second/build/echo-server"), 'another text in the source gives other bytes');
like(first_difference("$first/build/echo-server", "$second/build/echo-server"), qr/^\.\w+ \+ \d+$|^their lengths$/, 'another text in the source: the comparison says where');
done_testing;
