#!/usr/bin/perl
# The programs for 64-bit ARM in their sandbox, on a kernel for it in a virtual machine: qemu-user,
# where the process tests run them, has neither Landlock nor seccomp. Slow: `make aarch64-vm`.
use strict;
use warnings;
use Test::More;
use Echolab;

my $vm  = 'build/vm';
my $bin = 'build/aarch64/bin';
is(system('test/e2e/vm/fetch-kernel.sh', $vm), 0, 'there is a kernel') or BAIL_OUT('no kernel');

my $root = temp_dir() . '/root';
mkdir $root;
mkdir "$root/$_" for qw(bin proc dev etc tmp);
system('cp', "$vm/busybox", "$bin/echo-server", "$bin/echo-client", "$root/bin") == 0
    && system('install', 'test/e2e/vm/init.sh', "$root/init") == 0 or die;
write_file("$root/etc/hosts", "127.0.0.1 localhost\n");
system("cd $root && find . | cpio -o -H newc 2>/dev/null | gzip >../initrd") == 0 or die;

my ($code, $out, $err) = run_program(['qemu-system-aarch64', '-M', 'virt', '-cpu', 'cortex-a57', '-smp', 2, '-m', 768,
    qw(-net none -nographic -no-reboot), '-kernel', "$vm/vmlinuz", '-initrd', temp_dir() . '/initrd',
    '-append', 'console=ttyAMA0 panic=-1 quiet lsm=landlock'], seconds => 300);
is($code, 0, 'the virtual machine: exit 0') or diag $err;
my %said = $out =~ /^([a-z][a-z0-9 ]*): (.*?)\r?$/mg;
is($said{end}, 1, 'the virtual machine ran to its end') or diag $out;
like($said{machine} // '', qr/aarch64$/, "the virtual machine is $said{machine}");
like($said{sandbox} // '', qr/^no_new_privs, Landlock ABI \d+, seccomp$/, "the server's sandbox: $said{sandbox}");
is($said{filters}, 2, 'the server has a filter');
is($said{'filters of workers'}, '2222', 'three workers and their main thread have a filter each');
my %exit = (number => 0, ipv6 => 0, name => 0, zone => 4, unknown => 3, load => 0, sources => 0, schedule => 0,
    'after a stop' => 0, 'load on workers' => 0, server => 0, workers => 0);
is($said{$_}, $exit{$_}, "$_: exit code $exit{$_}") for sort keys %exit;
is($said{"$_ stderr"}, '', "$_: nothing on stderr") for qw(server workers);
done_testing;
