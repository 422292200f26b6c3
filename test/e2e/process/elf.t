#!/usr/bin/perl
# The executables as the kernel will load them: truly static, nothing both writable and
# executable, no executable stack, the stack protector in place, no symbols and no paths.
use strict;
use warnings;
use Test::More;
use Echolab;

plan skip_all => 'the headers of the programs as shipped are looked at' if $Echolab::build ne 'build';

sub readelf { my (@options) = @_; open my $pipe, '-|', 'readelf', '-W', @options or die; return join '', <$pipe> }

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
    unlike(readelf('-d', $path), qr/NEEDED/, '... no library is needed');
    is(readelf('-s', $path), '', '... no symbols');
    my $bytes = slurp($path);
    unlike($bytes, qr{/(?:home|work|root|tmp)/}, '... no path of the machine that built it');
  SKIP: {
        skip 'other instructions than x86-64', 1 if readelf('-h', $path) !~ /X86-64/;
        my $checks = () = `objdump -d $path` =~ /%fs:0x28/g;
        cmp_ok($checks, '>=', 20, "... the stack protector is read $checks times");
    }
}

# With a toolchain whose own C library is musl (Alpine's; a stand-in here) it is a static PIE.
SKIP: {
    my $gcc = 'test/native-musl-gcc.sh';
    skip 'no musl to make a static PIE with: /usr/lib/x86_64-linux-musl/rcrt1.o', 1 if !-e '/usr/lib/x86_64-linux-musl/rcrt1.o';
    my $dir = temp_dir() . '/pie';
    mkdir $dir;
    system('cp', '-r', 'Makefile', 'src', $dir) == 0 or die;
    my ($code, $out, $err) = run_program(['make', '-C', $dir, '-j2', "CC=$ENV{PWD}/$gcc", 'build'], env => { MAKEFLAGS => '' }, seconds => 60);
    is("$code $err", '0 ', 'both programs build as static PIE') or diag $out;
    for my $program ('server', 'client') {
        my $path = "$dir/build/echo-$program";
        is(faults_of(readelf('-hl', $path)), '', "$program as static PIE: the program headers are as they should be");
        like(readelf('-h', $path), qr/Type:\s+DYN/, '... position-independent');
        unlike(readelf('-d', $path), qr/NEEDED/, '... no library is needed');
    }
    local $Echolab::build = "$dir/build";
    my $server = start_server(sandbox => 'on', workers => 2);
    ($code, $out) = run_program(["$dir/build/echo-client", '--server-address', "localhost:$server->{port}", '--once'], env => { CLI_SANDBOX => 'on' });
    is($code, 0, '... they run, in their sandbox') or diag $out;
    is(stop_program($server), 0, '... and end with 0');

    # A toolchain that only claims to make one: the build tells.
    system 'rm', '-r', "$dir/build";
    ($code, $out, $err) = run_program(['make', '-C', $dir, 'CC=musl-gcc', 'IS_PIE=yes', 'build/echo-server'], env => { MAKEFLAGS => '' }, seconds => 60);
    is($code, 2, 'a program that needs an interpreter is no product');
    like($err, qr{^build/echo-server needs an interpreter; allowed: }m, '... that is told');
    ok(!-e "$dir/build/echo-server", '... and it does not stay');
}

# The checks must be able to fail.
like(faults_of(readelf('-hl', $^X)), qr/interpreter/, 'a dynamic program is seen');
my $bad = temp_dir() . '/bad';
if (open my $cc, '|-', 'gcc', '-x', 'c', '-nostdlib', '-static', '-Wl,-e,main', '-z', 'execstack', '-z', 'norelro', '-Wl,-N', '-o', $bad, '-') {
    print $cc "int main(void) { return 0; } int data = 1;\n";
    close $cc;
    my $faults = faults_of(readelf('-hl', $bad));
    like($faults, qr/writable and executable/,  '... a writable and executable segment');
    like($faults, qr/its stack is executable/, '... an executable stack');
    like($faults, qr/read-only after relocation/, '... no RELRO');
}
done_testing;
