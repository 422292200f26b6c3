#!/usr/bin/perl
# The bill of materials of both programs: valid SPDX 2.3, versions and licences as the packages
# say, on Debian, on Alpine, in a root that was only unpacked; what is wrong is refused.
use strict;
use warnings;
use Digest::SHA;
use IO::Compress::Gzip qw(gzip);
use JSON::PP;
use POSIX qw(strftime uname);
use Test::More;
use Echolab;

plan skip_all => 'the programs as shipped are described' if $Echolab::build ne 'build';
delete @ENV{qw(ROOT VERSION SOURCE_DATE_EPOCH)};

my %machines = (x86_64 => ['amd64', 0x3e, 'aarch64'], aarch64 => ['arm64', 0xb7, 'x86_64']);
my $cpu      = (uname)[4];
plan skip_all => "the fixtures are for x86-64 and aarch64, not for $cpu" if !$machines{$cpu};
my ($arch, $number, $other_cpu) = @{ $machines{$cpu} };
my ($other_arch, $other_number) = @{ $machines{$other_cpu} };
my $has_dpkg    = has_command('dpkg-query');
my $has_busybox = has_command('busybox');

# sbom(program, folder, env => {...}, wrap => [...]): (exit code, stderr).
sub sbom {
    my ($program, $folder, %how) = @_;
    my ($code, $out, $err) = run_program(['tools/sbom.sh', $program, $folder], %how, seconds => 30);
    return ($code, $out . $err);
}

sub sha256_of { my ($path) = @_; return Digest::SHA->new(256)->addfile($path)->hexdigest }

my $folders = 0;
sub new_folder { return temp_dir() . '/out' . ++$folders }

# The document that the script writes, decoded; undef if it says or does anything else.
sub document_of {
    my ($program, %how) = @_;
    my $folder = $how{folder} // new_folder();
    my ($code, $said) = sbom($program, $folder, %how);
    diag "exit code $code: $said" if $code ne '0' || $said ne '';
    return undef if $code ne '0' || $said ne '';
    return eval { decode_json(slurp("$folder/" . ($program =~ s{.*/}{}r) . '.spdx.json')) };
}

sub package_of { my ($document, $name) = @_; return (grep { $_->{name} eq $name } @{ $document->{packages} })[0] // {} }
sub purl_of    { my ($package) = @_; return $package->{externalRefs}[0]{referenceLocator} // '' }

# ---- what SPDX 2.3 asks of a document ----

my $id      = qr/^SPDXRef-[A-Za-z0-9.-]+$/;
my $agent   = qr/^(?:Organization|Person): \S|^NOASSERTION$/;
my $place   = qr{^https?://\S+$|^NONE$|^NOASSERTION$};
my $license = qr/^(?:MIT|ISC|0BSD|BSD-[23]-Clause)$/;
my $text    = qr/\S/;
my %checksum     = ('algorithm' => qr/^SHA256$/, checksumValue => qr/^[0-9a-f]{64}$/);
my %reference    = (referenceCategory => qr/^PACKAGE-MANAGER$/, referenceType => qr/^purl$/,
    referenceLocator => qr{^pkg:(?:deb|apk)/[a-z]+/[a-z0-9.+-]+\@[A-Za-z0-9.:~_%-]+\?arch=\w+(?:&\w+=[a-z0-9.+-]+)*$});
my %package      = (SPDXID => $id, name => $text, downloadLocation => $place, versionInfo => $text, supplier => $agent,
    primaryPackagePurpose => qr/^(?:APPLICATION|LIBRARY)$/, filesAnalyzed => qr/^0$/, licenseConcluded => $license,
    licenseDeclared => $license, copyrightText => $text);
my %package_may  = (packageFileName => $text, homepage => $place, sourceInfo => $text, checksums => [\%checksum],
    externalRefs => [\%reference]);
my %relationship = (spdxElementId => $id, relatedSpdxElement => $id, relationshipType => qr/^(?:DESCRIBES|STATIC_LINK|CONTAINS)$/);
my %creation     = (created => qr/^\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\dZ$/, creators => [qr/^(?:Tool|Person|Organization): \S/]);
my %document     = (spdxVersion => qr/^SPDX-2\.3$/, dataLicense => qr/^CC0-1\.0$/, SPDXID => qr/^SPDXRef-DOCUMENT$/,
    name => $text, documentNamespace => qr{^https?://[^\s#]+$}, creationInfo => \%creation,
    packages => [\%package, \%package_may], relationships => [\%relationship]);

# A rule is a pattern, an object's fields, or a list [rule of the elements, fields they may have].
sub faults_in {
    my ($at, $value, $rule, $may) = @_;
    if (ref $rule eq 'Regexp') {
        return !defined $value ? "$at is missing" : ref $value && !JSON::PP::is_bool($value) || $value !~ $rule ? "$at is wrong" : ();
    }
    if (ref $rule eq 'ARRAY') {
        return "$at is no list, or empty" if ref $value ne 'ARRAY' || !@$value;
        return map { faults_in("$at\[$_]", $value->[$_], @$rule) } 0 .. $#$value;
    }
    return "$at is no object" if ref $value ne 'HASH';
    my %rules = (%$rule, map { $_ => $may->{$_} } grep { exists $value->{$_} } keys %{ $may // {} });
    return ((map { "$at.$_ is unknown" } grep { !$rules{$_} } sort keys %$value),
        map { faults_in("$at.$_", $value->{$_}, $rules{$_}) } sort keys %rules);
}

sub faults_of {
    my ($d) = @_;
    my @faults = faults_in('document', $d, \%document);
    return join '; ', @faults if @faults;
    my %known = ('SPDXRef-DOCUMENT' => 1);
    $known{ $_->{SPDXID} }++ && push @faults, "$_->{SPDXID} is there twice" for @{ $d->{packages} };
    for my $r (@{ $d->{relationships} }) {
        push @faults, "a relationship names $_, which is not there" for grep { !$known{$_} } @$r{qw(spdxElementId relatedSpdxElement)};
    }
    return join '; ', @faults;
}

sub relationships_of { my ($d) = @_; return join ', ', map { "$_->{spdxElementId} $_->{relationshipType} $_->{relatedSpdxElement}" } @{ $d->{relationships} } }

# ---- the programs as they were built here ----

sub installed_version {
    my ($debian, $alpine) = @_;
    return `dpkg-query -W -f '\${Version}' $debian:$arch` if $has_dpkg;
    return `apk list -I $alpine` =~ /^\Q$alpine\E-(\S+) / ? $1 : 'none';
}

my $folder = new_folder();
my %namespaces;
for my $program ('echo-server', 'echo-client') {
    my $d = document_of("build/$program", folder => $folder);
    is(faults_of($d), '', "$program: the document is as SPDX 2.3 wants it");
    my $sha256 = Digest::SHA->new(256)->addfile("build/$program")->hexdigest;
    my ($version) = `build/$program --version` =~ /^$program (\S+)$/;
    is_deeply($d->{creationInfo}, { created => '1970-01-01T00:00:00Z', creators => ["Tool: echolab-sbom.sh-$version"] },
        "$program: without SOURCE_DATE_EPOCH the document is from 1970");
    like($d->{documentNamespace}, qr/\Q$program-$version-$sha256\E/, "$program: its namespace has the SHA-256 of the executable");
    $namespaces{ $d->{documentNamespace} }++;
    my ($itself, $musl, $inih) = map { package_of($d, $_) } $program, 'musl', 'inih';
    is(@{ $d->{packages} }, 3, "$program: three packages");
    is_deeply($itself->{checksums}, [{ algorithm => 'SHA256', checksumValue => $sha256 }], "$program: the checksum is the executable's");
    is("$itself->{versionInfo} $itself->{licenseDeclared} $itself->{primaryPackagePurpose}", "$version MIT APPLICATION",
        "$program: version, licence and purpose are the program's");
    is($musl->{versionInfo}, installed_version('musl-dev', 'musl-dev'),    "$program: musl's version is the package's");
    is($inih->{versionInfo}, installed_version('libinih-dev', 'inih-dev'), "$program: inih's version is the package's");
    is("$musl->{licenseDeclared} $musl->{licenseConcluded} $inih->{licenseDeclared} $inih->{licenseConcluded}",
        'MIT MIT BSD-3-Clause BSD-3-Clause', "$program: the licences of musl and inih");
    like($musl->{copyrightText}, qr/Rich Felker/, "$program: musl's copyright notice");
    like($inih->{copyrightText}, qr/Ben Hoyt/,    "$program: inih's copyright notice");
    like(purl_of($musl), qr{^pkg:\w+/\w+/musl(?:-dev)?\@\Q$musl->{versionInfo}\E\?arch=(?:$arch|$cpu)&}, "$program: a package URL has name, version, architecture");
    is(relationships_of($d), "SPDXRef-DOCUMENT DESCRIBES SPDXRef-$program, SPDXRef-$program STATIC_LINK SPDXRef-musl, "
        . "SPDXRef-$program STATIC_LINK SPDXRef-inih", "$program: the document describes the program, which links both libraries");
}
is(keys %namespaces, 2, 'both programs have namespaces of their own');
is_deeply([split /\n/, `cd '$folder' && find . -type f | sort`],
    [map { "./$_" } qw(echo-client.spdx.json echo-server.spdx.json licenses/echolab.txt licenses/inih.txt licenses/musl.txt)],
    'documents and licence texts are there, and nothing else');
is(slurp("$folder/licenses/echolab.txt"), slurp('LICENSE'), 'the licence text of echolab is LICENSE');
like(slurp("$folder/licenses/musl.txt"), qr/2005-2020 Rich Felker.*Permission is hereby granted.*WITHOUT WARRANTY/s, 'the licence text of musl is whole, with its notice');
like(slurp("$folder/licenses/inih.txt"), qr/2009.*Ben Hoyt.*Redistributions in binary form.*POSSIBILITY\s+OF\s+SUCH\s+DAMAGE/s, 'the licence text of inih is whole, with its notice');

# The same bytes, wherever and by whomever.
my $again = new_folder();
my $here  = POSIX::getcwd();
my ($code, undef, $said) = run_program(['sh', '-c', "cd / && umask 077 && exec '$here/tools/sbom.sh' '$here/build/echo-server' '$again'"],
    env => { TZ => 'Asia/Tokyo', LC_ALL => 'C.UTF-8', VERSION => '7.7.7', SOURCE_DATE_EPOCH => '' });
is("$code$said", '0', 'a second run, from another folder, with another locale and time zone: exit 0, nothing is said');
is(slurp("$again/$_"), slurp("$folder/$_"), "a second run gives the same bytes: $_") for qw(echo-server.spdx.json licenses/echolab.txt licenses/musl.txt licenses/inih.txt);
is(join(' ', sbom('build/echo-server', $again)), '0 ', 'a third run, over what is there: exit 0, nothing is said');
is(slurp("$again/echo-server.spdx.json"), slurp("$folder/echo-server.spdx.json"), 'a third run gives the same bytes: echo-server.spdx.json');

for my $epoch (0, 951782400, 1700000000, 4102444800) {
    my $d = document_of('build/echo-server', env => { SOURCE_DATE_EPOCH => $epoch });
    is($d->{creationInfo}{created}, strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $epoch), "SOURCE_DATE_EPOCH=$epoch is the document's time");
    $namespaces{ $d->{documentNamespace} }++;
}
is(keys %namespaces, 5, 'documents of other times have namespaces of their own');

# ---- other roots, made for the test ----

my $debian_release = "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n";
sub copyright { my ($name, $holder, $license) = @_; return <<"EOT" }
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: $name
License: GPL-2+

Files: debian/*
Copyright: 2001 A Packager
License: GPL-2+

Files: *
Copyright: $holder
           2020 "Others" \\ and more
License: $license
 The text.

License: GPL-2+
 Another text.
EOT

sub status {
    my ($package, $source, $version, $architecture, $status) = @_;
    return "Package: $package\nStatus: $status\nMaintainer: Nobody <nobody\@localhost>\nArchitecture: $architecture\n"
        . "Multi-Arch: same\nSource: $source\nVersion: $version\nDescription: for a test\n\n";
}

# A Debian root: how => { file in it => other content, or undef for none }.
sub debian_root {
    my (%how) = @_;
    my $root  = temp_dir() . '/debian' . ++$folders;
    my %files = (
        'etc/os-release'      => $debian_release,
        'var/lib/dpkg/arch'   => "$arch\n$other_arch\n",
        'var/lib/dpkg/status' => status('musl-dev', 'musl', '1:1.2.5-3+b1', $arch, 'install ok installed')
            . status('musl-dev',    'musl',            '1:9.9-9',  $other_arch, 'install ok installed')
            . status('libinih-dev', 'libinih (58-1)', '58-1+b2~1', $arch,       'install ok installed'),
        'usr/share/doc/musl-dev/copyright'    => copyright('musl', '2005-2020 Rich Felker', 'Expat'),
        'usr/share/doc/libinih-dev/copyright' => copyright('inih', '2009-2022 Ben Hoyt',    'BSD-3-clause'),
        %how,
    );
    write_file("$root/$_", $files{$_}) for grep { defined $files{$_} } keys %files;
    return $root;
}

sub alpine_root {
    my (%how) = @_;
    my $root  = temp_dir() . '/alpine' . ++$folders;
    my %files = ('etc/os-release' => "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.24.1\n", 'lib/apk/db/installed' => apk_database(), %how);
    write_file("$root/$_", $files{$_}) for grep { defined $files{$_} } keys %files;
    return $root;
}

# The form of apk's database; other packages have files of the same name elsewhere.
sub apk_database { return <<"EOT" }
C:Q1pH3Kk0m1bVb1b4yqk6lJ8WQ0tBc=
P:alpine-release
V:3.24.1-r0
A:$cpu
L:MIT
o:alpine-base
F:usr/lib
R:os-release

C:Q1Vd4Lpar6qryZj5BP4riPzeSuc2c=
P:musl
V:1.2.5-r10
A:$cpu
S:398854
T:the musl c library (libc) implementation
U:https://musl.libc.org/
L:MIT
o:musl
m:Somebody <somebody\@localhost>
p:so:libc.musl-$cpu.so.1=1
F:lib
R:ld-musl-$cpu.so.1
a:0:0:755

P:odd
V:1-r0
A:$cpu
L:GPL-2.0-only
o:odd
F:usr/lib/odd
R:libc.a
R:libinih.a
F:usr/lib
R:libc.a.gz

P:inih-dev
V:62-r1
A:$cpu
U:https://github.com/benhoyt/inih
L:BSD-3-Clause
o:inih
D:inih=62-r1 pkgconfig
p:pc:inih=62
F:usr
F:usr/include
R:ini.h
Z:Q1xxxxxxxxxxxxxxxxxxxxxxxxxxx=
F:usr/lib
R:libinih.a
R:libinih.so
a:0:0:777
F:usr/lib/pkgconfig
R:inih.pc

P:musl-dev
V:1.2.5-r10
A:$cpu
L:MIT
o:musl
F:usr
F:usr/lib
R:libc.a
a:0:0:644
R:libm.a
EOT

sub check_alpine {
    my ($d, $how) = @_;
    my ($musl, $inih) = map { package_of($d, $_) } 'musl', 'inih';
    is(faults_of($d), '', "Alpine, $how: the document is as SPDX 2.3 wants it");
    is("$musl->{versionInfo} $inih->{versionInfo}", '1.2.5-r10 62-r1', "Alpine, $how: the versions of what owns the libraries");
    is("$musl->{licenseDeclared} $inih->{licenseDeclared}", 'MIT BSD-3-Clause', "Alpine, $how: the licences of musl and inih");
    is(purl_of($musl), "pkg:apk/alpine/musl\@1.2.5-r10?arch=$cpu&distro=alpine-3.24.1", "Alpine, $how: musl's package URL");
    is(purl_of($inih), "pkg:apk/alpine/inih\@62-r1?arch=$cpu&distro=alpine-3.24.1",     "Alpine, $how: inih's package URL");
    is("$musl->{downloadLocation} $inih->{downloadLocation}", 'NOASSERTION https://github.com/benhoyt/inih', "Alpine, $how: a homepage only if the database has one");
    is("$musl->{supplier} $musl->{copyrightText}", "Organization: Alpine Linux Copyright \x{a9} 2005-2020 Rich Felker, et al.", "Alpine, $how: musl's supplier and copyright notice");
    is($inih->{copyrightText}, 'Copyright (c) 2009, Ben Hoyt', "Alpine, $how: inih's copyright notice");
}

my $alpine = new_folder();
check_alpine(document_of('build/echo-server', folder => $alpine, env => { ROOT => alpine_root() }), 'its database');
is(slurp("$alpine/licenses/$_.txt"), slurp("docs/licenses/$_.txt"), "Alpine, its database: the licence text of $_ is ours") for 'musl', 'inih';
like(slurp("$alpine/licenses/musl.txt"), qr/^Copyright \xc2\xa9 2005-2020 Rich Felker, et al\.\n.*Permission is hereby granted/ms, 'Alpine, its database: the licence text of musl is whole');
like(slurp("$alpine/licenses/inih.txt"), qr/^Copyright \(c\) 2009, Ben Hoyt\n.*Redistributions in binary form.*OF SUCH DAMAGE/ms, 'Alpine, its database: the licence text of inih is whole');
check_alpine(document_of('build/echo-server',
    env => { ROOT => alpine_root('lib/apk/db/installed' => undef, 'usr/lib/apk/db/installed' => apk_database()) }), '/lib merged into /usr');
# Headers whose functions Alpine's compiler puts into what it compiles, for any machine.
{
    my $root = alpine_root('lib/apk/db/installed' => apk_database() . "P:fortify-headers\nV:3.0.1-r0\nA:noarch\nL:0BSD\n"
        . "U:https://github.com/jvoisin/fortify-headers\no:fortify-headers\nF:usr/include/fortify\nR:poll.h\nR:string.h\n\n");
    my $folder  = new_folder();
    my $d       = document_of('build/echo-server', folder => $folder, env => { ROOT => $root });
    my $headers = package_of($d, 'fortify-headers');
    is(faults_of($d), '', 'fortify-headers are there: the document is as SPDX 2.3 wants it');
    is("$headers->{versionInfo} $headers->{licenseDeclared}", '3.0.1-r0 0BSD', '... and has them, with version and licence');
    like($headers->{copyrightText}, qr/Dimitris Papastamos/, '... and copyright');
    is(purl_of($headers), 'pkg:apk/alpine/fortify-headers@3.0.1-r0?arch=noarch&distro=alpine-3.24.1', '... and package URL');
    like(relationships_of($d), qr/SPDXRef-echo-server CONTAINS SPDXRef-fortify-headers/, '... as a part of the program');
    is(slurp("$folder/licenses/fortify-headers.txt"), slurp('docs/licenses/fortify-headers.txt'), '... and their licence beside it');
}
is(sha256_of('docs/licenses/musl.txt'), 'b870108ec5e7790e9f9919064f1b9421d62d5f9b0e6c230c6adf7ea2da62e97b', 'the licence of musl is that of 1.2.6');
SKIP: {
    skip 'no busybox here', 9 if !$has_busybox;
    my $applets = temp_dir() . '/applets';
    system("mkdir '$applets' && for name in \$(busybox --list); do ln -s \"\$(command -v busybox)\" '$applets'/\$name; done") == 0 or die;
    my $busy = new_folder();
    check_alpine(document_of('build/echo-server', folder => $busy, wrap => ["$applets/ash"], env => { PATH => $applets, ROOT => alpine_root() }),
        'nothing but busybox');
    is(slurp("$busy/echo-server.spdx.json"), slurp("$alpine/echo-server.spdx.json"), 'Alpine, nothing but busybox: the same bytes as with the tools here');
}

# A program for another machine: only its header is.
my $cross = slurp('build/echo-server');
substr $cross, 18, 1, chr $other_number;
$cross = write_file(temp_dir() . '/cross/echo-server', $cross);
chmod 0755, $cross;

SKIP: {
    skip 'no dpkg-query here', 33 if !$has_dpkg;
    my $d = document_of('build/echo-server', env => { ROOT => debian_root() });
    my ($musl, $inih) = map { package_of($d, $_) } 'musl', 'inih';
    is(faults_of($d), '', 'Debian, another root: the document is as SPDX 2.3 wants it');
    is("$musl->{versionInfo} $inih->{versionInfo}", '1:1.2.5-3+b1 58-1+b2~1', 'Debian, another root: versions with an epoch and of a rebuild');
    is("$musl->{licenseDeclared} $inih->{licenseDeclared}", 'MIT BSD-3-Clause', 'Debian, another root: Debian\'s names of licences become SPDX\'s');
    is(purl_of($musl), "pkg:deb/debian/musl-dev\@1:1.2.5-3%2Bb1?arch=$arch&distro=debian-13&upstream=musl", 'Debian, another root: the package URL');
    is("$musl->{downloadLocation}, $inih->{sourceInfo}", 'NOASSERTION, built package from: libinih 58-1', 'Debian, another root: no homepage, but the source of the package');
    is($musl->{copyrightText}, "2005-2020 Rich Felker\n2020 \"Others\" \\ and more", 'Debian, another root: a notice of two lines, with quotes and backslashes');
    $d = document_of('build/echo-server', env => { ROOT => debian_root('etc/os-release' => "NAME='Debian GNU/Linux'\nID=debian\nVERSION_CODENAME=forky\n") });
    like(purl_of(package_of($d, 'inih')), qr/\@58-1%2Bb2~1\?arch=$arch&distro=forky&/, 'Debian, a release without a number: its name is in the package URL');

    # Unpacked only, as tools/cross.sh does: dpkg knows nothing of it.
    my ($changelog, $rebuild) = ("musl (1.2.5-3) unstable; urgency=medium\n\n  * Hello.\n\nmusl (1.2.5-2) unstable; urgency=low\n",
        "libinih (58-1+b3) sid; urgency=low, binary-only=yes\n");
    my ($changelog_gz, $rebuild_gz, $inih_gz);
    gzip(\$changelog, \$changelog_gz) && gzip(\$rebuild, \$rebuild_gz) && gzip(\"libinih (58-1) unstable; urgency=low\n", \$inih_gz) or die;
    my %unpacked = (
        'var/lib/dpkg/status' => '', 'etc/os-release' => undef,
        "usr/lib/$other_cpu-linux-musl/libc.a" => '', "usr/lib/$other_cpu-linux-gnu/libinih.a" => '',
        'usr/share/doc/musl-dev/changelog.Debian.gz'                => $changelog_gz,
        'usr/share/doc/libinih-dev/changelog.Debian.gz'             => $inih_gz,
        "usr/share/doc/libinih-dev/changelog.Debian.$other_arch.gz" => $rebuild_gz,
    );
    $d = document_of($cross, env => { ROOT => debian_root(%unpacked), VERSION => '7.7.7' });
    ($musl, $inih) = map { package_of($d, $_) } 'musl', 'inih';
    is(faults_of($d), '', 'a cross build, its root only unpacked: the document is as SPDX 2.3 wants it');
    is(package_of($d, 'echo-server')->{versionInfo}, '7.7.7', 'a cross build, its root only unpacked: the version is that of VERSION');
    is("$musl->{versionInfo} $inih->{versionInfo}", '1.2.5-3 58-1+b3', 'a cross build, its root only unpacked: versions are from the changelogs');
    like(purl_of($musl), qr{^pkg:deb/debian/musl-dev\@1\.2\.5-3\?arch=$other_arch&distro=[^&]+&upstream=musl$}, 'a cross build, its root only unpacked: the package URL');
    is($inih->{sourceInfo}, 'built package from: libinih 58-1', 'a cross build, its root only unpacked: the source of a rebuild');

    refused('a package that dpkg does not know', 'build/echo-server', qr/libinih-dev:$arch is not there/,
        ROOT => debian_root('var/lib/dpkg/status' => status('musl-dev', 'musl', '1-1', $arch, 'install ok installed')));
    refused('a package that was removed', 'build/echo-server', qr/musl-dev:$arch is not there/,
        ROOT => debian_root('var/lib/dpkg/status' => status('musl-dev', 'musl', '1-1', $arch, 'deinstall ok config-files')));
    refused('a package that is there for another machine', 'build/echo-server', qr/musl-dev:$arch is not there/, ROOT => debian_root(%unpacked));
    refused('a package that has no copyright file', 'build/echo-server', qr{musl-dev/copyright: not there}, ROOT => debian_root('usr/share/doc/musl-dev/copyright' => undef));
    refused('a licence that nobody knows', 'build/echo-server', qr{libinih-dev/copyright: licence 'Beerware' is unknown; allowed: MIT, },
        ROOT => debian_root('usr/share/doc/libinih-dev/copyright' => copyright('inih', '2009 Ben Hoyt', 'Beerware')));
    refused('a choice of licences', 'build/echo-server', qr/licence 'Expat or GPL-2\+' is unknown/,
        ROOT => debian_root('usr/share/doc/libinih-dev/copyright' => copyright('inih', '2009 Ben Hoyt', 'Expat or GPL-2+')));
    refused('a licence not in the form that can be read', 'build/echo-server', qr/no License in a paragraph 'Files: \*'/,
        ROOT => debian_root('usr/share/doc/musl-dev/copyright' => "This is musl.\n\nLicense: MIT\n"));
}

# ---- what is refused: one line, the exit code, nothing left ----

sub refused {
    my ($what, $program, $pattern, %env) = @_;
    my $folder = new_folder();
    my ($code, $said) = sbom($program, $folder, env => \%env);
    is($code, 1, "refused, $what: exit 1") or diag $said;
    like($said, qr/^sbom: [^\n]*$pattern[^\n]*\n\z/, "refused, $what: one line says why");
    ok(!-e $folder, "refused, $what: nothing is left");
}

my $database = apk_database();
refused('an apk database without inih-dev', 'build/echo-server', qr{no package has usr/lib/libinih\.a},
    ROOT => alpine_root('lib/apk/db/installed' => $database =~ s/^P:inih-dev.*?\n\n//msr));
refused('an apk database with another licence', 'build/echo-server', qr/musl-dev: licence 'GPL-2\.0-only' is unknown/,
    ROOT => alpine_root('lib/apk/db/installed' => $database =~ s/(P:musl-dev\n.*?)L:MIT/$1L:GPL-2.0-only/sr));
refused('an apk database with a version that is none', 'build/echo-server', qr/the version '1\.2\.5"'/,
    ROOT => alpine_root('lib/apk/db/installed' => $database =~ s/V:1\.2\.5-r10/V:1.2.5"/gr));
refused('an apk database of another machine', 'build/echo-server', qr/musl-dev is for $other_cpu, but build\/echo-server is for $cpu/,
    ROOT => alpine_root('lib/apk/db/installed' => $database =~ s/^A:.*/A:$other_cpu/mgr));
refused('a root of neither distribution', 'build/echo-server', qr/not the root of Debian .* or Alpine/, ROOT => temp_dir());
refused('a program for another machine, its version unknown', $cross, qr/cannot be run here to tell its version; set VERSION/, ROOT => alpine_root());
SKIP: {
    skip 'no busybox here, whose shell runs what it cannot execute as a script', 2 if !$has_busybox;
    my $trap = write_file(temp_dir() . '/trap/echo-server', substr(slurp($cross), 0, 20) . "\n: >'" . temp_dir() . "/sprung'\n");
    chmod 0755, $trap;
    my ($code, $said) = sbom($trap, new_folder(), wrap => ['busybox', 'ash'], env => { ROOT => alpine_root() });
    like("$code $said", qr/^1 sbom: [^\n]* cannot be run here [^\n]*\n\z/, 'refused, a program whose bytes are commands to a shell: one line says why');
    ok(!-e temp_dir() . '/sprung', 'refused, a program whose bytes are commands to a shell: they are not carried out');
}
refused('a version that is none', $cross, qr/its version is '1 0'; allowed: /, ROOT => alpine_root(), VERSION => '1 0');
refused('a program that is not there', 'build/echo-nothing', qr{build/echo-nothing: not an executable});
refused('a program that is a script', 'tools/sbom.sh', qr{tools/sbom\.sh: not an executable; allowed: });
refused('a program that is a folder', 'build', qr{build: not an executable});
system('cp', 'build/echo-server', temp_dir() . "/$_") == 0 or die for 'echo_server', 'echo-serve';
refused('a program with a name that SPDX does not allow', temp_dir() . '/echo_server', qr/its name cannot be an SPDX identifier; allowed: letters/);
refused('a program that calls itself otherwise', temp_dir() . '/echo-serve', qr/--version says 'echo-server \S+'; allowed: echo-serve and a version/);
refused("SOURCE_DATE_EPOCH=$_", 'build/echo-server', qr/SOURCE_DATE_EPOCH='\Q$_\E' is no time; allowed: seconds since 1970/, SOURCE_DATE_EPOCH => $_)
    for 'yesterday', '-1', '1e9', '1 2', '1234567890123';

for my $arguments ([], ['build/echo-server'], ['build/echo-server', temp_dir() . '/never', 'more']) {
    my ($code, $out, $err) = run_program(['tools/sbom.sh', @$arguments]);
    is("$code $out$err", "2 usage: sbom.sh PROGRAM FOLDER\n", scalar(@$arguments) . ' arguments: usage, exit code 2');
}
my $file = write_file(temp_dir() . '/file', 'mine');
($code, $said) = sbom('build/echo-server', $file);
is($code, 1, 'refused, a file where the folder should be: exit 1');
like($said, qr/^sbom: \Q$file\E: cannot be made; allowed: [^\n]+\n\z/, 'refused, a file where the folder should be: one line says why');
is(slurp($file), 'mine', 'refused, a file where the folder should be: it stays as it is');

# Files may have 1,024 bytes at most, as if the disk were full; what was there stays.
my $full = new_folder();
write_file("$full/echo-server.spdx.json", 'the one before');
($code, $said) = sbom('build/echo-server', $full, wrap => ['sh', '-c', 'trap "" XFSZ; ulimit -f 2; exec "$@"', 'sh']);
is($code, 1, 'refused, no space: exit 1');
is($said, "sbom: $full: cannot write the files; is there space, and the right to?\n", 'refused, no space: one line says why');
is(join(' ', split /\n/, `cd '$full' && find . -type f`), './echo-server.spdx.json', 'refused, no space: nothing half-written is left');
is(slurp("$full/echo-server.spdx.json"), 'the one before', 'refused, no space: the document from before is whole');

# ---- the checks must be able to fail ----

sub spoilt { my ($change) = @_; my $d = decode_json(slurp("$folder/echo-server.spdx.json")); $change->($d) for $d; return faults_of($d) }
like(spoilt(sub { delete $_[0]{dataLicense} }), qr/document\.dataLicense is missing/, 'a field that is missing is seen');
like(spoilt(sub { $_[0]{extra} = 1 }), qr/document\.extra is unknown/, 'a field that is not SPDX\'s is seen');
like(spoilt(sub { $_[0]{creationInfo}{created} = 'today' }), qr/creationInfo\.created is wrong/, 'a time that is none is seen');
like(spoilt(sub { $_[0]{packages}[1]{licenseDeclared} = 'Expat' }), qr/packages\[1\]\.licenseDeclared is wrong/, 'a licence that is not SPDX\'s is seen');
like(spoilt(sub { $_[0]{packages}[2]{filesAnalyzed} = JSON::PP::true }), qr/packages\[2\]\.filesAnalyzed is wrong/, 'files said to be analyzed are seen');
like(spoilt(sub { $_[0]{packages}[2]{externalRefs}[0]{referenceLocator} = 'inih' }), qr/referenceLocator is wrong/, 'a package URL that is none is seen');
like(spoilt(sub { $_[0]{packages} = [] }), qr/packages is no list, or empty/, 'a document without packages is seen');
like(spoilt(sub { $_[0]{packages}[2]{SPDXID} = 'SPDXRef-musl' }), qr/SPDXRef-musl is there twice.*names SPDXRef-inih, which is not there/, 'an identifier that is there twice, and one that is not there, are seen');
done_testing;
