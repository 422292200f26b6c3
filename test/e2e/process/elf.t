#!/usr/bin/perl
# The executables as the kernel will load them: truly static, nothing both writable and
# executable, no executable stack, the stack protector in place, no symbols and no paths.
use strict;
use warnings;
use Test::More;
use Echolab;

plan skip_all => 'the headers of the programs as shipped are looked at' if $Echolab::build ne 'build';

sub readelf { my (@options) = @_; open my $pipe, '-|', 'readelf', '-W', @options or die; return join '', <$pipe> }

# The symbols of a file, as readelf prints them: numbered lines, of which the first one of a table
# is none (and all that a static PIE's .dynsym holds).
sub symbols_of { my ($table) = @_; return join ' ', $table =~ /^\s*(?!0:)\d+:.*\s(\S+)$/mg }

# What is wrong with the program headers of a file, as readelf prints them.
sub faults_of {
    my ($headers) = @_;
    my @faults;
    push @faults, 'it needs an interpreter' if $headers =~ /^\s+INTERP/m;
    push @faults, 'it needs libraries'      if $headers =~ /^\s+DYNAMIC/m && $headers !~ /Type:\s+DYN/;
    push @faults, 'a segment is writable and executable' if $headers =~ /^\s+LOAD(?:\s+0x\w+){5}\s+RWE/m;
    push @faults, 'its stack is executable, or it does not say' if $headers !~ /^\s+GNU_STACK(?:\s+0x\w+){5}\s+RW\s/m;
    push @faults, 'nothing is read-only after relocation' if $headers !~ /^\s+GNU_RELRO/m;
    return join '; ', @faults;
}

for my $program ('server', 'client') {
    my $path = "build/echo-$program";
    is(faults_of(readelf('-hl', $path)), '', "$program: the program headers are as they should be");
    unlike(readelf('-d', $path), qr/NEEDED/, "$program: no library is needed");
    is(symbols_of(readelf('-s', $path)), '', "$program: no symbols");
    my $bytes = slurp($path);
    unlike($bytes, qr{/(?:home|work|root|tmp)/}, "$program: no path of the machine that built it");
  SKIP: {
        skip 'other instructions than x86-64', 1 if readelf('-h', $path) !~ /X86-64/;
        my $checks = () = `objdump -d $path` =~ /%fs:0x28/g;
        cmp_ok($checks, '>=', 20, "$program: the stack protector is read $checks times");
    }
}

# With a toolchain whose own C library is musl (Alpine's; a stand-in here) it is a static PIE.
SKIP: {
    my $gcc = 'test/native-musl-gcc.sh';
    skip 'no musl to make a static PIE with: /usr/lib/x86_64-linux-musl/rcrt1.o', 12 if !-e '/usr/lib/x86_64-linux-musl/rcrt1.o';
    my $dir = temp_dir() . '/pie';
    mkdir $dir;
    system('cp', '-r', 'Makefile', 'src', $dir) == 0 or die;
    my ($code, $out, $err) = run_program(['make', '-C', $dir, '-j2', "CC=$ENV{PWD}/$gcc", 'build'], env => { MAKEFLAGS => '' }, seconds => 300);
    is("$code $err", '0 ', 'both programs build as static PIE') or diag $out;
    for my $program ('server', 'client') {
        my $path = "$dir/build/echo-$program";
        is(faults_of(readelf('-hl', $path)), '', "$program as static PIE: the program headers are as they should be");
        like(readelf('-h', $path), qr/Type:\s+DYN/, "$program as static PIE: position-independent");
        unlike(readelf('-d', $path), qr/NEEDED/, "$program as static PIE: no library is needed");
        is(symbols_of(readelf('-s', $path)), '', "$program as static PIE: no symbols");
    }
    local $Echolab::build = "$dir/build";
    my $server = start_server(sandbox => 'on', workers => 2);
    ($code, $out) = run_program(["$dir/build/echo-client", '--server-address', "localhost:$server->{port}", '--once'], env => { CLI_SANDBOX => 'on' });
    is($code, 0, 'both programs as static PIE: they run, in their sandbox') or diag $out;
    is(stop_program($server), 0, 'both programs as static PIE: SIGTERM ends the server with 0');

    # Packed relocations where musl's start code knows them, which <elf.h> tells: 4 KiB less.
  SKIP: {
        skip 'this linker cannot pack relocations', 4 if `ld --help` !~ /pack-relative-relocs/;
        my $knows = `printf '#include <elf.h>\nDT_RELR\n' | $gcc -E -` =~ /^36$/m;
        my %plain = map { $_ => -s "$dir/build/$_" } 'echo-server', 'echo-client';
        is(scalar(readelf('-d', "$dir/build/echo-server") =~ /\(RELR\)/), $knows, 'packed relocations only where musl knows them');
        unlink glob "$dir/build/echo-*";
        ($code, $out, $err) = run_program(['make', '-C', $dir, '-j2', "CC=$ENV{PWD}/$gcc", 'build'], env => { MAKEFLAGS => '', RELR => 'yes' }, seconds => 300);
        is("$code $err", '0 ', 'both programs build with a musl that knows them') or diag $out;
        for my $program (sort keys %plain) {
            like(readelf('-d', "$dir/build/$program"), qr/\(RELR\)/, "$program: they are packed");
            cmp_ok(-s "$dir/build/$program", '<', $plain{$program}, "$program: packed, the file is smaller") if !$knows;
        }
    }

    # A toolchain that only claims to make one: the build tells.
    unlink glob "$dir/build/echo-*";
    ($code, $out, $err) = run_program(['make', '-C', $dir, 'CC=musl-gcc', 'IS_PIE=yes', 'build/echo-server'], env => { MAKEFLAGS => '' }, seconds => 300);
    is($code, 2, 'a program that needs an interpreter: the build fails');
    like($err, qr{^build/echo-server needs an interpreter; allowed: }m, 'a program that needs an interpreter: the build says so');
    ok(!-e "$dir/build/echo-server", 'a program that needs an interpreter: it does not stay');
}

# What takes the place of functions of the C library is wanted by nobody but those it was made for (src/musl/README.md).
sub check_map { my ($map) = @_; return run_program(['awk', '-f', 'src/musl/check_map.awk', $map]) }

sub check_changed_map {
    my ($map, $change) = @_;
    local $_ = slurp($map);
    $change->() or die "$map: nothing to change\n";
    my $file = temp_dir() . '/changed.map';
    open my $out, '>', $file or die "$file: $!";
    print $out $_;
    close $out or die "$file: $!";
    return check_map($file);
}

for my $program ('server', 'client') {
    my $map = "build/echo-$program.map";
    is(join(' ', check_map($map)), '0  ', "$program: the linker's map is as it should be");
    my ($code, $out, $err) = check_changed_map($map, sub { s/^(fopen64 +\S+ini\.\S+\n)/$1    libc.a(syslog.lo)\n/m });
    is($code, 1, "$program: a map in which another object wants fopen64(): exit 1");
    like($err, qr/: libc\.a\(syslog\.lo\) wants fopen64\(\), which is abort\(\) here; allowed: ini only$/, "$program: a map in which another object wants fopen64(): its name is said");
    ($code, $out, $err) = check_changed_map($map, sub { s/^fopen64\b/fopen   lookup.o\nfopen64/m });
    like("$code $err", qr/^1 \S+: lookup\.o wants fopen\(\), which is abort\(\) here; allowed: ini only$/, "$program: a map in which another object wants fopen(): exit 1, its name is said");
    ($code, $out, $err) = check_changed_map($map, sub { s/^Cross Reference Table.*//ms });
    like("$code $err", qr/^1 \S+: no cross reference table$/, "$program: a map without a cross reference table: exit 1, that is said");
}

# The checks must be able to fail.
is(symbols_of("Symbol table '.dynsym' contains 2 entries:\n   Num:    Value          Size Type    Bind   Vis      Ndx Name\n"
    . "     0: 0000000000000000     0 NOTYPE  LOCAL  DEFAULT  UND \n     1: 0000000000001000     8 FUNC    GLOBAL DEFAULT    1 main\n"),
    'main', 'a symbol is seen, an empty entry is none');
isnt(symbols_of(readelf('-s', $^X)), '', '... those of a dynamic program, too');
like(faults_of(readelf('-hl', $^X)), qr/interpreter/, 'a dynamic program is seen');
my $bad = temp_dir() . '/bad';
if (open my $cc, '|-', 'gcc', '-x', 'c', '-nostdlib', '-static', '-Wl,-e,main', '-z', 'execstack', '-z', 'norelro', '-Wl,-N', '-o', $bad, '-') {
    print $cc "int main(void) { return 0; } int data = 1;\n";
    close $cc;
    my $faults = faults_of(readelf('-hl', $bad));
    like($faults, qr/writable and executable/,  'a writable and executable segment is seen');
    like($faults, qr/its stack is executable/, 'an executable stack is seen');
    like($faults, qr/read-only after relocation/, 'a missing RELRO is seen');
}
done_testing;
