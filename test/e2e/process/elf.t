#!/usr/bin/perl
# The executables, and their memory while they run: truly static, nothing both writable and
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
    push @faults, 'it claims a read-only part (RELRO), which nobody makes read-only' if $headers =~ /^\s+GNU_RELRO/m;
    return join '; ', @faults;
}

# What is wrong with the memory of a process that runs the program at `path`: /proc/PID/maps, proc(5).
sub memory_faults_of {
    my ($path, $maps) = @_;
    my %rights_of;
    push @{ $rights_of{ $2 // '' } }, $1 while $maps =~ m{^[0-9a-f]+-[0-9a-f]+ (\S{4}) \S+ \S+ \d+ *(\S.*)?$}mg;
    my @own = @{ $rights_of{$path} // [] };
    my @faults;
    push @faults, 'no code of the program is mapped'            if !grep { /x/ } @own;
    push @faults, 'no data of the program is mapped'            if !grep { /w/ } @own;
    push @faults, 'the program is both writable and executable' if grep  { /wx/ } @own;
    push @faults, 'no stack is mapped'                          if !$rights_of{'[stack]'};
    push @faults, 'the stack is executable'                     if grep { /x/ } @{ $rights_of{'[stack]'} // [] };
    push @faults, 'other memory is both writable and executable' if grep { /wx/ } map { @{ $rights_of{$_} } } grep { $_ ne $path && $_ ne '[stack]' } keys %rights_of;
    return join '; ', @faults;
}

sub memory_of { my ($process) = @_; return slurp("/proc/$process->{pid}/maps") }

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

# What the kernel made of it, threads and their stacks included.
{
    my $server = start_server(workers => 2);
    my $client = start_program(['build/echo-client', '--server-address', "localhost:$server->{port}", '--loop-period', '60s', '--admin-address', '127.0.0.1:0']);
    ok(wait_for_log($client, qr/Message from server/), 'the client talks to the server');
    is(memory_faults_of("$ENV{PWD}/build/echo-server", memory_of($server)), '', 'server: its memory while it runs is as it should be');
    is(memory_faults_of("$ENV{PWD}/build/echo-client", memory_of($client)), '', 'client: its memory while it runs is as it should be');
    stop_program($_) for $client, $server;
}

# With a toolchain whose own C library is musl (Alpine's; a stand-in here) it is a static PIE.
SKIP: {
    my $gcc = 'test/native-musl-gcc.sh';
    skip 'no musl to make a static PIE with: /usr/lib/x86_64-linux-musl/rcrt1.o', 13 if !-e '/usr/lib/x86_64-linux-musl/rcrt1.o';
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
    is(memory_faults_of("$dir/build/echo-server", memory_of($server)), '', 'server as static PIE: its memory while it runs is as it should be');
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

# tools/size.sh on a file of so many bytes.
sub budget_of {
    my ($name, $bytes, %env) = @_;
    my $file = write_file(temp_dir() . "/budget/$name", 'x' x $bytes);
    my ($code, $out, $err) = run_program(['tools/size.sh', $file], env => \%env);
    return "$code $out$err" =~ s/\Q$file\E/FILE/gr;
}

is(budget_of('echo-client', 130048 - 256), "0 FILE: 129792 bytes, 256 left of its budget of 130048\n", 'the budget of the client: all but 256 bytes are within it');
like(budget_of('echo-client', 130048 - 255), qr/^1 .*\nsize: FILE has 255 bytes left of its budget of 130048; allowed: 256 or more$/, '... one more is a failure');
like(budget_of('echo-server', 73728 + 1, LEAST => 0), qr/^1 .*\nsize: FILE has -1 bytes left of its budget of 73728; allowed: 0 or more$/, 'the budget of the server');
like(budget_of('echo', 1), qr/^2 size: 'FILE' has no budget; allowed: echo-server, echo-client$/, 'another program has no budget');

# The checks must be able to fail.
is(symbols_of("Symbol table '.dynsym' contains 2 entries:\n   Num:    Value          Size Type    Bind   Vis      Ndx Name\n"
    . "     0: 0000000000000000     0 NOTYPE  LOCAL  DEFAULT  UND \n     1: 0000000000001000     8 FUNC    GLOBAL DEFAULT    1 main\n"),
    'main', 'a symbol is seen, an empty entry is none');
isnt(symbols_of(readelf('-s', $^X)), '', '... those of a dynamic program, too');
like(faults_of(readelf('-hl', $^X)), qr/interpreter/, 'a dynamic program is seen');
my $bad = temp_dir() . '/bad';
if (open my $cc, '|-', 'gcc', '-x', 'c', '-nostdlib', '-static', '-Wl,-e,main', '-z', 'execstack', '-Wl,-N', '-Wl,--no-warn-rwx-segments', '-o', $bad, '-') {
    print $cc "int data = 1; int main(void) { for (volatile int i = 1; i != 0;) { } return data; }\n";
    close $cc;
    my $faults = faults_of(readelf('-hl', $bad));
    like($faults, qr/writable and executable/,  'a writable and executable segment is seen');
    like($faults, qr/its stack is executable/, 'an executable stack is seen');
    my $process = start_program([$bad]);
    wait_for(sub { memory_of($process) =~ m{ \Q$bad\E$}m });
    my $maps = memory_of($process);
    kill 'KILL', $process->{pid};
    exit_of($process);
    $faults = memory_faults_of($bad, $maps);
    like($faults, qr/program is both writable and executable/, 'in a running program: memory both writable and executable is seen');
    like($faults, qr/the stack is executable/, '... and an executable stack');
    like(memory_faults_of("$bad/other", $maps), qr/^no code .*; no data /, '... and that another program runs');
    like(memory_faults_of($bad, $maps =~ s/^.*\[stack\]\n//mr), qr/no stack is mapped/, '... and that no stack is to be found');
    like(memory_faults_of($bad, "$maps${\ '7f0000000000-7f0000001000 rwxp 00000000 00:00 0'}\n"), qr/other memory is both/, '... and memory of no file both writable and executable');
}
like(faults_of(readelf('-hl', $^X)), qr/RELRO/, 'a part that is claimed to be read-only is seen');
done_testing;
