"""SSD's loss on priors: matched boxes, and faces against background with hard negatives (Liu et al., 2016)."""
