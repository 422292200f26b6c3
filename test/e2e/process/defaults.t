#!/usr/bin/perl
# --help, --print-config, config/*.ini and the tables of docs/ hold together: the same keys, the
# same defaults.
use strict;
use warnings;
use Test::More;
BEGIN { delete $ENV{ECHOLAB_SANDBOX} }    # the defaults are looked at
use Echolab;

my %prefix = (server => 'SERVER', client => 'CLI');

# The lines in which config/PROGRAM.ini differs from the defaults.
my %differs = (
    server => { 'admin_address = none' => 'admin_address = 0.0.0.0:9100', 'level = info' => 'level = debug' },
    client => { 'admin_address = none' => 'admin_address = 0.0.0.0:9100', 'server_address = localhost:12345' => 'server_address = server:12345' },
);

sub run {
    my ($program, @arguments) = @_;
    return run_program(["$Echolab::build/echo-$program", @arguments], wrap => ['env', '-i'],
        seconds => 10);
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

# "[section] key" => default, of the rows of a table that begins with this head.
sub parse_table {
    my ($text, $head, $section) = @_;
    my ($rows) = $text =~ /^\Q$head\E\n\|---\|---\|---\|\n((?:\|.*\n)+)/m or return ();
    my @found;
    for (split /\n/, $rows) {
        my ($key, $default) = /^\| `([^`]+)`(?:, `--[a-z0-9-]+`)? \| `([^`]+)` \| \S/ or die "no row of a key: $_";
        push @found, ($section eq '' ? $key : "[$section] $key"), $default;
    }
    return @found;
}

# What the documents tell of a program's keys, as one "key = default" a line.
sub documented {
    my ($program, $configuration, $load, $examine) = @_;
    my @found = parse_table($configuration, "| $program | default | |", '');
    push @found, parse_table($load, '| `[load]` key, option | default | |', 'load'),
        parse_table($examine, '| `[examine]` key, option | default | |', 'examine') if $program eq 'client';
    my @lines;
    push @lines, join ' = ', splice @found, 0, 2 while @found;
    return join "\n", sort @lines;
}

for my $program ('server', 'client') {
    my ($code, $help, $err) = run($program, '--help');
    is("$code $err", '0 ', "echo-$program --help: exit 0, nothing on stderr");
    my ($settings) = $help =~ /^Settings:\n(.*?)^Other options:$/ms;
    my (%default, @keys);
    while ($settings =~ /\G  --(\S+) \S+ +(\S.*)\n +allowed: (.+); default: (.+)\n +\[(\w+)\] (\w+), (\w+)\n/gc) {
        my ($option, $default, $section, $key, $env) = ($1, $4, $5, $6, $7);
        my $full = $section eq $program ? $key : "${section}_$key";
        my $own  = $section =~ /^(load|examine)$/ ? $key eq 'target' ? $section : $key : $full;
        is($option, $own =~ tr/_/-/r, "echo-$program --help: --$option is [$section] $key");
        is($env, "$prefix{$program}_" . uc $full, "echo-$program --help: $env is [$section] $key");
        push @keys, "[$section] $key";
        $default{"[$section] $key"} = $default;
    }
    is(substr($settings, pos($settings) // 0), "\n", "echo-$program --help: the settings are read to their end");
    cmp_ok(scalar @keys, '>=', 8, "echo-$program --help: there are keys");

    ($code, my $printed, $err) = run($program, '-c', '/dev/null', '--print-config');
    is("$code $err", '0 ', "echo-$program --print-config: exit 0, nothing on stderr");
    my ($values, @printed_keys) = parse_ini($printed);
    is("@printed_keys", "@keys", "echo-$program --print-config has each key of --help once, and nothing else");
    is($values->{$_}, $default{$_}, "echo-$program --print-config: $_ = $default{$_}, as --help says") for @keys;

    my @docs   = map { slurp("docs/$_.md") } 'configuration', 'load', 'examine';
    my $wanted = join "\n", sort map { "$_ = $default{$_}" } @keys;
    is(documented($program, @docs), $wanted, "docs/configuration.md, load.md and examine.md have each key of the $program once, with its default, and nothing else");
    isnt(documented($program, map { s/^\| `(\[log\] level|size)` .*\n//mr } @docs), $wanted, "a row of the $program that is missing in docs/ is seen");
    isnt(documented($program, map { s/`info`/`warn`/gr } @docs), $wanted, "another default of the $program in docs/ is seen");

    my $shipped = slurp("config/$program.ini");
    my (undef, @shipped_keys) = parse_ini($shipped);
    is("@shipped_keys", "@keys", "config/$program.ini has each key once, and nothing else");
    my @ours    = split /\n/, $printed, -1;
    my @theirs  = split /\n/, $shipped, -1;
    is(scalar @theirs, scalar @ours, "config/$program.ini has as many lines as --print-config");
    my %found = map { $ours[$_] => $theirs[$_] // '' } grep { $ours[$_] ne ($theirs[$_] // '') } 0 .. $#ours;
    is_deeply(\%found, $differs{$program}, "config/$program.ini differs from --print-config in what is for the lab, and nothing else");

    ($code, my $again, $err) = run($program, '-c', "config/$program.ini", '--print-config');
    is("$code $err", '0 ', "config/$program.ini is accepted");
    is($again, $shipped, "config/$program.ini is printed again as it is");

    for my $option ('-h', '--help', '--version', '--check-config', '--print-config') {
        ($code, my $out, $err) = run($program, $option);
        is($code, 0, "$program $option: exit 0");
        like($out, qr/\A\S.*\n\z/s, "$program $option: text on stdout");
        is($err, '', "$program $option: nothing on stderr");
        ($code, undef, $err) = run_program(["$Echolab::build/echo-$program", $option],
            stdout => '/dev/full', seconds => 10);
        is($code, 1, "$program $option: exit 1 when stdout cannot be written");
        ($code, undef, $err) = run_program(['sh', '-c', 'exec "$@" >&-', 'sh', "$Echolab::build/echo-$program", $option], seconds => 10);
        is("$code $err", '1 ', "$program $option: exit 1 when stdout is closed");
    }
    ($code, my $out) = run($program, '--version');
    like($out, qr/\Aecho-$program \d+\.\d+\.\d+\n\z/, "$program --version prints name and version");
    ($code, $out) = run($program, '-h');
    is($out, $help, "$program -h is --help");
    for my $option ('--config', '-c', '--check-config', '--print-config', '--help', '--version') {
        like($help, qr/(^  |, )\Q$option\E\b/m, "$program --help names $option");
    }
}
like((run('server', '--help'))[1], qr/^  --healthcheck /m, 'server --help names --healthcheck');

# The first lines are what most people look for.
for (
    ['server', qr/^Usage: echo-server \[OPTION\]\.\.\.\n/, '--port PORT'],
    ['client', qr/^Usage: echo-client \[HOST:PORT\] \[OPTION\]\.\.\.\n/, '--rate MESSAGES/TIME'],
) {
    my ($program, $usage, $one) = @$_;
    my $help = (run($program, '--help'))[1];
    like($help, $usage, "$program --help begins with its usage");
    my ($first, $all) = $help =~ /^Most used:\n(.*?)\n^Settings:\n(.*?)^Other options:/ms;
    my @first = split /\n/, $first // '';
    is(scalar @first, 10, "$program --help begins with the ten most used options, a line for each");
    is(scalar(grep { index($all // '', "$_\n") < 0 } @first), 0, "$program --help has each of them among the settings, too");
    like($first, qr/^  \Q$one\E /m, "$program --help: $one is among them");
}

done_testing();
