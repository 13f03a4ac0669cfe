#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# Names: resolv.conf, hosts, hostname, kept up to date.

load helpers
load network

setup() {
	setup_host
	setup_bundle
}
teardown() { teardown_host; }

@test "resolv.conf from options, from the network, from the host" {
	run -0 run_on a --network bridge --dns 192.0.2.53 -- cat /etc/resolv.conf
	check_output "nameserver 192.0.2.53"
	net create --dns 192.0.2.54 --dns-search x.example --dns-option ndots:3 n
	run -0 run_on b --network n -- cat /etc/resolv.conf
	check_output "search x.example"
	check_output "nameserver 192.0.2.54"
	check_output "options ndots:3"
	run -0 run_on c --network bridge -- cat /etc/resolv.conf
	[[ "$output" != *"nameserver 127."* ]]
	run ! net create --dns nonsense m
	check_output "not an address"
}

@test "hosts follows containers that come and go" {
	start_on a --network bridge --hostname alpha -- sleep 1000
	start_on b --network bridge:alias=db --hostname beta -- sleep 1000
	run -0 hamphi exec a cat /etc/hosts
	check_output "10.89.0.2	alpha a"
	check_output "10.89.0.3	beta b db"
	run -0 hamphi exec b sh -c 'cat /etc/hosts; ping -c 1 -W 5 alpha >/dev/null 2>&1 || nc -w 1 alpha 9; cat /etc/hostname'
	check_output "10.89.0.2	alpha a"
	[ "${lines[-1]}" = beta ]
	hamphi delete -f b
	run -0 hamphi exec a cat /etc/hosts
	[[ "$output" != *beta* ]]
	check_output "10.89.0.2	alpha a"
}

@test "add-host; what a container wrote itself stays" {
	start_on a --network bridge --add-host db.example:192.0.2.7 -- sleep 1000
	hamphi exec a sh -c 'echo "192.0.2.8 mine" >>/etc/hosts'
	run_on b --network bridge -- true
	run -0 hamphi exec a cat /etc/hosts
	check_output "192.0.2.7	db.example"
	check_output "192.0.2.8 mine"
	run ! run_on c --network bridge --add-host nonsense -- true
	check_output "NAME:ADDRESS"
}

@test "networks without dns keep names to themselves" {
	net create --no-dns quiet
	start_on a --network quiet --hostname alpha -- sleep 1000
	run -0 run_on b --network quiet --hostname beta -- cat /etc/hosts
	check_output beta
	[[ "$output" != *alpha* ]]
}
