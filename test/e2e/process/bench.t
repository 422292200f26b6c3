#!/usr/bin/perl
# The benchmark's instrument: it ends, has a figure in every place, and tells mistakes. No figure
# is judged: the machine may be busy.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Echolab;

plan skip_all => 'the programs as shipped are measured' if $Echolab::build ne 'build';
enter_own_network();

my @cpus = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s*0(?:-|,1\b)/m;
plan skip_all => 'the first two processors are needed' if !@cpus;

is((run_program(['test/bench/build-peers.sh', 'build/bench', 'epoll_echo'], seconds => 300))[0], 0, 'the plain epoll loop is built');

my @bench = ($^X, 'test/bench/bench.pl', '--runs', 1, '--seconds', 0.2);

sub bench {
    my (@options) = @_;
    my $file = temp_dir() . '/results.json';
    unlink $file;
    my ($code, $table, $errors) = run_program([@bench, '--output', $file, @options], seconds => 120);
    return ($code, $table, $errors, -e $file ? decode_json(slurp($file)) : {});
}

# Are all these numbers above 0?
sub all_positive { my ($figures, @names) = @_; return !grep { !(($figures->{$_} // 0) > 0) } @names }

# A share of a core; clocks that are read one after the other may be a little apart.
sub is_share { my ($share) = @_; return defined $share && $share > 0 && $share < 1.2 }

group 'a sparse row' => sub {
    my ($code, $table, $errors, $json) = bench('--rows', 'sparse 1000/5000');
    is($errors, '', 'nothing on stderr');
    like($code, qr/^[01]$/, 'it ends with 0, or with 1 when a demand does not hold');
    is(scalar(() = $table =~ /^sparse 1000\/5000: /mg), 2, 'CPU and p99 stand in the table');
    my $row = $json->{results}{sparse_1000_5000};
    for my $side ('ours', 'beside') {
        ok(all_positive($row->{$side}, qw(messages_per_s p50_us p99_us server_cpu_us)), "$side: every figure is there");
        ok(is_share($row->{$side}{server_busy}), "$side: the server's share of its core");
        ok(is_share($row->{$side}{client_busy}), "$side: the client's share of its core");
        is(scalar @{ $row->{$side}{'all server_cpu_us'} }, 3, "$side: three runs");
    }
    for my $figure ('cpu', 'p99') {
        ok(all_positive($row->{$figure}, qw(ratio limit)), "$figure: ratio and limit");
        is(scalar @{ $row->{$figure}{ratios} }, 3, "$figure: the ratio of each run");
    }
    is($json->{beside}, 'epoll', 'it is named what ours is compared with');
};

group 'against another build, two workers' => sub {
    my ($code, $table, $errors, $json) = bench('--rows', 'busy 1$', '--against', 'build', '--workers', 2);
    is($errors, '', 'nothing on stderr');
    is($code, 0, 'there is no demand');
    like($table, qr/^busy 1: .*other build [\d.]+;/m, 'the other build stands beside ours');
    ok(all_positive($json->{results}{busy_1}{cpu}, 'ratio'), 'the ratio');
    is($json->{workers}, 2, 'workers');
};

group 'the generator' => sub {
    my $server = start_server('log-level' => 'info');
    my $load = sub {
        my (@load) = @_;
        my ($code, $line, $errors) = run_program(['build/bench/generator', $server->{port}, @load, $server->{pid}], seconds => 60);
        is("$code$errors", '0', "$load[0]: it ends well");
        return { $line =~ /(\w+)=([\d.]+)/g };
    };
    my $burst = $load->('burst', 0, 100, 64, 3);
    ok(all_positive($burst, qw(last_us last_worst_us p50_us server_cpu_us)), 'burst: every figure is there');
    cmp_ok($burst->{last_us}, '<=', $burst->{last_worst_us}, 'burst: the median is not above the worst');
    cmp_ok($burst->{p50_us}, '<=', $burst->{last_worst_us}, 'burst: no echo after the last');
    my $mixed = $load->('mixed', 5, 200, 1048576, 0.5);
    ok(all_positive($mixed, qw(busy_per_s busy_p99_us sparse_per_s sparse_p99_us bulk_mb_per_s server_cpu_us)), 'mixed: every figure is there');
    cmp_ok($mixed->{sparse_per_s}, '<=', 450, 'mixed: no more than was due since the start, each one once a second');
    my $cycles = $load->('cycles', 5, 0, 64, 0.2);
    ok(all_positive($cycles, qw(messages_per_s p50_us p99_us server_cpu_us server_busy client_busy)), 'cycles: every figure is there');
};

for my $mistake (
    [['--against', '/nowhere'], qr{^bench.pl: --against: there is no program /nowhere/echo-server$}],
    [['--rows', 'no such row'], qr{^bench.pl: --rows: no row is called 'no such row'$}],
    [['--rnus', 3],             qr{^Unknown option: rnus\nusage: bench.pl }],
    [['--runs', 0],             qr{^usage: bench.pl }],
) {
    my ($options, $line) = @$mistake;
    my ($code, undef, $errors) = bench(@$options);
    is($code, 2, "@$options: exit 2");
    like($errors, $line, "@$options: a line says why");
}

done_testing;
