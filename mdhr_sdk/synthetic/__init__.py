"""Synthetic faces with action units that are known exactly: a renderer of ICT Face Model Light on the CPU.

Everything here needs the extra `synthetic` and a packed face model, see `pack`.
"""
