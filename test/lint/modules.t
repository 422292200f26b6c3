#!/usr/bin/perl
# The graph check of tools/modules.pl: it passes on the sources, and sees each kind of fault.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

# The project's sources with some lines more, in a folder of their own: what the check says.
sub check {
    my (%more) = @_;
    my $dir = tempdir(CLEANUP => 1);
    system('cp', '-r', 'src', 'ARCHITECTURE.md', $dir) == 0 or die;
    for my $path (keys %more) {
        mkdir "$dir/$1" if $path =~ m{(.*)/};
        open my $file, '>>', "$dir/$path" or die "$path: $!";
        print $file $more{$path};
        close $file;
    }
    my $said = `tools/modules.pl '$dir' 2>&1`;
    return ($? >> 8, $said);
}

sub sees {
    my ($name, $pattern, %more) = @_;
    my ($code, $said) = check(%more);
    is($code, 1, "$name: exit 1") or diag $said;
    like($said, $pattern, "$name: the place is named");
    return;
}

is_deeply([check()], [0, ''], 'the sources as they are: no fault');
sees('an include upwards', qr{^src/io/net\.c:\d+: config/config\.h is not below io/; allowed: io, base$}m,
    'src/io/net.c' => qq(#include "config/config.h"\n));
sees('an include sideways', qr{^src/client/client\.c:\d+: server/echo\.h is not below client/}m,
    'src/client/client.c' => qq(#include "server/echo.h"\n));
sees('an include from musl/', qr{^src/musl/libc_small\.c:\d+: base/log\.h is not below musl/; allowed: musl$}m,
    'src/musl/libc_small.c' => qq(#include "base/log.h"\n));
sees('a circle of two modules', qr{^\S+:\d+: modules include each other: (?:base/units -> base/format -> base/units|base/format -> base/units -> base/format)$}m,
    'src/base/format.c' => qq(#include "base/units.h"\n));
sees('a circle of three modules', qr{modules include each other: (?:base/(?:latency|units|format)(?: -> )?){4}$}m,
    'src/base/format.c' => qq(#include "base/latency.h"\n), 'src/base/latency.h' => qq(#include "base/units.h"\n));
sees('an include without its folder', qr{^src/io/net\.c:\d+: there is no src/log\.h}m, 'src/io/net.c' => qq(#include "log.h"\n));
sees('a floor that nobody knows', qr{^src/attic/: no floor of that name}m, 'src/attic/old.c' => "/* old: once it was new. */\n");
sees('a module that the table lacks', qr{^ARCHITECTURE\.md: its table of modules is not that of the sources}m,
    'src/base/extra.c' => "/* extra: nothing yet. */\n");
sees('a header without a first sentence', qr{^src/base/extra\.h:1: no first sentence}m, 'src/base/extra.h' => "#define EXTRA\n");
sees('a walk that names a function which is gone', qr{^ARCHITECTURE\.md: there is no echo_away\(\) in src/server/echo\.c$}m,
    'ARCHITECTURE.md' => "| `server/echo.c:echo_away` | |\n");
is(system("tools/modules.pl nowhere 2>/dev/null") >> 8, 2, 'a folder that is not there: usage');
done_testing;
