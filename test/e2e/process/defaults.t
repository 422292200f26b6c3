#!/usr/bin/perl
# --help, --print-config and config/*.ini hold together: the same keys, the same defaults.
use strict;
use warnings;
use Test::More;
BEGIN { delete $ENV{ECHOLAB_SANDBOX} }    # the defaults are looked at
use Echolab;

my %prefix = (server => 'SERVER', client => 'CLI');

# The one line in which config/PROGRAM.ini differs from the defaults.
my %differs = (
    server => ['level = info',                     'level = debug'],
    client => ['server_address = localhost:12345', 'server_address = server:12345'],
);

sub run {
    my ($program, @arguments) = @_;
    return run_program(["$Echolab::build/echo-$program", @arguments], wrap => ['env', '-i'],
        seconds => 2);
}

# "[section] key" => value of an INI file, and the keys in their order; dies of anything that
# is no section, key, comment or empty line.
sub parse_ini {
    my ($text) = @_;
    my ($section, %value, @keys) = ('');
    for (split /\n/, $text) {
        next if /^(;|$)/;
        if (/^\[(\w+)\]$/) { $section = $1; next }
        /^(\w+) = (\S.*)$/ or die "no INI: $_";
        push @keys, "[$section] $1";
        $value{"[$section] $1"} = $2;
    }
    return (\%value, @keys);
}

for my $program ('server', 'client') {
    my ($code, $help, $err) = run($program, '--help');
    is("$code $err", '0 ', "echo-$program --help");
    my ($settings) = $help =~ /^Settings:\n(.*?)^Other options:$/ms;
    my (%default, @keys);
    while ($settings =~ /\G  --(\S+) +(\S.*)\n +allowed: (.+); default: (.+)\n +\[(\w+)\] (\w+), (\w+)\n/gc) {
        my ($option, $default, $section, $key, $env) = ($1, $4, $5, $6, $7);
        my $full = $section eq $program ? $key : "${section}_$key";
        my $own  = $section eq 'load' ? $key eq 'target' ? 'load' : $key : $full;
        is($option, $own =~ tr/_/-/r, "--$option is [$section] $key");
        is($env, "$prefix{$program}_" . uc $full, "... and $env");
        push @keys, "[$section] $key";
        $default{"[$section] $key"} = $default;
    }
    is(substr($settings, pos($settings) // 0), "\n", 'the settings are read to their end');
    cmp_ok(scalar @keys, '>=', 8, 'there are keys');

    ($code, my $printed, $err) = run($program, '-c', '/dev/null', '--print-config');
    is("$code $err", '0 ', "echo-$program --print-config");
    my ($values, @printed_keys) = parse_ini($printed);
    is("@printed_keys", "@keys", '--print-config has each key of --help once, and nothing else');
    is($values->{$_}, $default{$_}, "... $_ = $default{$_}") for @keys;

    my $shipped = slurp("config/$program.ini");
    my (undef, @shipped_keys) = parse_ini($shipped);
    is("@shipped_keys", "@keys", "config/$program.ini has each key once, and nothing else");
    my @ours    = split /\n/, $printed, -1;
    my @theirs  = split /\n/, $shipped, -1;
    is(scalar @theirs, scalar @ours, '... as many lines as --print-config');
    my @differences = grep { $ours[$_] ne ($theirs[$_] // '') } 0 .. $#ours;
    is(scalar @differences, 1, '... that differ in one place');
    is($ours[$differences[0] // 0], $differs{$program}[0], '... the default');
    is($theirs[$differences[0] // 0], $differs{$program}[1], '... is overridden for the lab');

    ($code, my $again, $err) = run($program, '-c', "config/$program.ini", '--print-config');
    is("$code $err", '0 ', "config/$program.ini is accepted");
    is($again, $shipped, '... and printed again as it is');

    for my $option ('-h', '--help', '--version', '--check-config', '--print-config') {
        ($code, my $out, $err) = run($program, $option);
        is($code, 0, "$program $option: exit 0");
        like($out, qr/\A\S.*\n\z/s, '... text on stdout');
        is($err, '', '... nothing on stderr');
        ($code, undef, $err) = run_program(["$Echolab::build/echo-$program", $option],
            stdout => '/dev/full', seconds => 2);
        is($code, 1, "... exit 1 when that cannot be written");
        ($code, undef, $err) = run_program(['sh', '-c', 'exec "$@" >&-', 'sh', "$Echolab::build/echo-$program", $option], seconds => 2);
        is("$code $err", '1 ', '... and when stdout is closed');
    }
    ($code, my $out) = run($program, '--version');
    like($out, qr/\Aecho-$program \d+\.\d+\.\d+\n\z/, 'the version');
    ($code, $out) = run($program, '-h');
    is($out, $help, '-h is --help');
    for my $option ('--config', '-c', '--check-config', '--print-config', '--help', '--version') {
        like($help, qr/(^  |, )\Q$option\E\b/m, "--help tells $option");
    }
}
like((run('server', '--help'))[1], qr/^  --healthcheck /m, '--help tells --healthcheck');

done_testing();
