"""The numbers of an HQ: how many, how sure, how dear. Pure; from what records say."""
