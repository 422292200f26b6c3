#!/usr/bin/perl
# The folders of src/ are floors: a file may include from the floors that are named for its
# own, and modules include each other in no circle. Derived from the #include lines alone.
#
#   modules.pl [--write] [DIRECTORY]
#
# Checks the project in DIRECTORY (default: the one that this script stands in); that
# ARCHITECTURE.md has the table of modules that follows from the headers' first sentences
# (--write puts it there); and that the functions which its walks name are there.
# Exit: 0 all holds; 1 not, with a line for each place; 2 usage.
use strict;
use warnings;
use FindBin;

# Which floors may be included from each floor; '' has the two mains.
my @order = qw(base io config sandbox server client load examine musl);
my %below = (
    base => [], io => ['base'], config => ['base', 'io'], sandbox => ['base', 'io'],
    server => ['base', 'io', 'config', 'sandbox'], client => ['base', 'io', 'config', 'sandbox'],
    load => ['base', 'io', 'config', 'sandbox', 'client'],
    examine => ['base', 'io', 'config', 'sandbox', 'client', 'load'],
    '' => ['base', 'io', 'config', 'sandbox', 'server', 'client', 'load', 'examine'], musl => [],
);
my ($begin, $end) = ("<!-- modules: written by tools/modules.pl -->\n", "<!-- end of modules -->\n");

my $write = @ARGV && $ARGV[0] eq '--write' && shift;
my $top   = shift // "$FindBin::Bin/..";
if (@ARGV || !-d "$top/src") {
    print STDERR "usage: modules.pl [--write] [DIRECTORY]\n";
    exit 2;
}
chdir $top or die "modules: $top: $!\n";
my @faults;

sub slurp { my ($path) = @_; open my $file, '<', $path or die "modules: $path: $!\n"; local $/; return <$file> }

# A file belongs to the module of its name: src/io/net.c and src/io/net.h are io/net.
sub module_of { my ($path) = @_; return $path =~ s{^src/|\.[ch]$}{}gr }
sub folder_of { my ($module) = @_; return $module =~ m{^(.*)/} ? $1 : '' }

my @files = sort glob 'src/*.[ch] src/*/*.[ch]';
my (%includes, %modules);
for my $path (@files) {
    my $module = module_of($path);
    my $folder = folder_of($module);
    $modules{$module} //= $path =~ /\.h$/ ? $path : -e "src/$module.h" ? "src/$module.h" : $path;
    my $line = 0;
    for (split /\n/, slurp($path)) {
        $line++;
        my ($name) = /^\s*#\s*include\s+"([^"]+)"/ or next;
        if (!-e "src/$name") {
            push @faults, qq($path:$line: there is no src/$name; allowed: #include "folder/module.h");
            next;
        }
        my $other = module_of("src/$name");
        my $floor = folder_of($other);
        $includes{$module}{$other} = "$path:$line" if $other ne $module;
        next if $floor eq $folder || grep { $_ eq $floor } @{ $below{$folder} // [] };
        push @faults, "$path:$line: $name is not below " . ($folder || 'src') . '/; allowed: '
            . (join(', ', $folder || (), @{ $below{$folder} // [] }) || 'nothing');
    }
}
push @faults, map { "src/$_/: no floor of that name; allowed: @order" }
    grep { !exists $below{$_} } keys %{ { map { (folder_of($_) => 1) } keys %modules } };

# Depth first: a module that is met again on the way down closes a circle.
my (%state, @way);
sub visit {
    my ($module) = @_;
    return if ($state{$module} // '') eq 'done';
    if (($state{$module} // '') eq 'open') {
        my @circle = ($module);
        for (reverse @way) { unshift @circle, $_; last if $_ eq $module }
        push @faults, "$includes{$circle[-2]}{$module}: modules include each other: " . join ' -> ', @circle;
        return;
    }
    $state{$module} = 'open';
    push @way, $module;
    visit($_) for sort keys %{ $includes{$module} // {} };
    pop @way;
    $state{$module} = 'done';
    return;
}
visit($_) for sort keys %modules;

# The first sentence of a header says what its module is for.
sub purpose {
    my ($module) = @_;
    my ($comment) = slurp($modules{$module}) =~ m{/\*\s*(.*?)\*/}s;
    $comment = ($comment // '') =~ s/\n\s*\*/ /gr =~ s/\s+/ /gr;
    if ($comment !~ m{^[\w-]+: (.*?\.)(?: |$)}) {
        push @faults, qq($modules{$module}:1: no first sentence; allowed: "/* name: what it is for.");
        return '';
    }
    return $1 =~ s/\|/\\|/gr;
}

my $table = "| module | what it is for |\n|---|---|\n";
for my $folder (@order, '') {
    $table .= "| `$_` | " . purpose($_) . " |\n" for grep { folder_of($_) eq $folder } sort keys %modules;
}
my $page = slurp('ARCHITECTURE.md');
my $new  = $page =~ s/(\Q$begin\E).*?(?=\Q$end\E)/$1$table/sr;
push @faults, "ARCHITECTURE.md: no place for the table; allowed: a line $begin" if index($page, $begin) < 0 || index($page, $end) < 0;
if ($write && $new ne $page) {
    open my $file, '>', 'ARCHITECTURE.md' or die "modules: ARCHITECTURE.md: $!\n";
    print $file $new;
    close $file or die "modules: ARCHITECTURE.md: $!\n";
} elsif ($new ne $page) {
    push @faults, 'ARCHITECTURE.md: its table of modules is not that of the sources; allowed: make format';
}
# The walks name file:function: each must be there.
while ($page =~ /`([a-z_]+\/[a-z_]+\.c):(\w+)`/g) {
    my ($path, $function) = ("src/$1", $2);
    next if -e $path && slurp($path) =~ /^[a-z][^;\n=]*\b$function\(/m;
    push @faults, "ARCHITECTURE.md: there is no $function() in $path";
}
print STDERR map { "$_\n" } @faults;
exit(@faults ? 1 : 0);
