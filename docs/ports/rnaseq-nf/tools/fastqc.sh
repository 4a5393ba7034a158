#!/bin/sh
# Stands in for the script that calls FastQC: `fastqc.sh FOLDER FASTQ...` counts reads and bases of each file.
set -eu
mkdir "$1"
folder=$1
shift
for reads in "$@"; do
    awk '
    FNR % 4 == 2 { reads++; bases += length($1); gc += gsub(/[GC]/, "") }
    END { printf "reads\t%d\nbases\t%d\ngc\t%.1f\n", reads, bases, bases ? 100 * gc / bases : 0 }
    ' "$reads" > "$folder/$(basename "$reads" .fq)_fastqc.tsv"
done
