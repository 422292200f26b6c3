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
