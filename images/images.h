/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What amphi and amphi-images agreed on. amphi does not link this room: it executes the program, found beside
 * its own binary, in ../libexec/amphi or in $AMPHI_LIBEXEC. This header is constants and contract only.
 *
 * The people's commands (pull, push, images, inspect, rmi, import, export, bundle, prune, commit, fsck) are handed
 * over with their arguments as they are; amphi-images prints, and its exit status is the command's.
 *
 * A container of an image:
 *
 *	amphi-images prepare [--store DIR] --id ID [--owner STATEDIR] [--pull missing|never|always] [--platform OS/ARCH[/VARIANT]]
 *		[--entrypoint WORD]... [--env NAME=VALUE]... [--user USER] [--workdir DIR] [--hostname NAME]
 *		[--uidmap CONTAINER:HOST:SIZE]... [--gidmap CONTAINER:HOST:SIZE]...
 *		[--terminal] [--volume SRC:DST[:OPTIONS]]... [--read-only] [--cap-add CAP]... [--cap-drop CAP]...
 *		[--privileged] [--memory BYTES] [--cpus N] [--pids-limit N] [--annotation KEY=VALUE]... IMAGE [COMMAND...]
 *
 * pulls the image when needed, makes STORE/containers/ID/ and in it a complete bundle whose root (an overlay of
 * the image's layers and a private upper directory) is mounted, and prints the bundle's absolute path on one line. An
 * ordinary user's root is left to the runtime: config.json has a user namespace and, as mounts[0], the overlay for "/".
 * On failure nothing stays and the reason is one line on stderr, "amphi-images: what: why", exit status 1.
 *
 *	amphi-images release [--store DIR] [--owner STATEDIR] BUNDLE
 *
 * undoes it: unmounts the root and removes STORE/containers/ID. Success when there is nothing (any more).
 * Until then prune and rmi leave the layers alone. With --owner it does so only when the bundle was made for that
 * state directory, there is none, and the process that was to make it is dead: what a SIGKILL or a reboot left.
 * prune and the next prepare of the id do the same by themselves.
 *
 * The store is --store, else $AMPHI_STORE, else /var/lib/amphi (root) or $XDG_DATA_HOME/amphi.
 */
#ifndef IMAGES_IMAGES_H
#define IMAGES_IMAGES_H

#define IMAGES_PROGRAM "amphi-images"
#define IMAGES_STORE_ENV "AMPHI_STORE"
#define IMAGES_STORE_DEFAULT "/var/lib/amphi"

#define IMAGES_PREPARE "prepare"
#define IMAGES_RELEASE "release"

#endif
