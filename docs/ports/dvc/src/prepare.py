"""Splits posts into train and test, as lines of id, label and text: `prepare.py XML FOLDER`."""

import os
import random
import sys
import xml.etree.ElementTree as ElementTree

import params

chosen = params.section("prepare")
random.seed(chosen["seed"])
os.makedirs(sys.argv[2])
with open(f"{sys.argv[2]}/train.tsv", "w") as train, open(f"{sys.argv[2]}/test.tsv", "w") as test:
    for post in ElementTree.parse(sys.argv[1]).getroot():
        label = int("<r>" in post.get("Tags"))
        text = " ".join(f"{post.get('Title')} {post.get('Body')}".split())
        part = test if random.random() < chosen["split"] else train
        part.write(f"{post.get('Id')}\t{label}\t{text}\n")
